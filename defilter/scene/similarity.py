"""How alike two scenes are, and how strongly a look is applied for it (US 2025/0252542 Fig. 14).

One class: similarity 1. Otherwise 1 - the distance of the normalised features of a layer. The
patent's 'Markov distance' is read as Mahalanobis distance; as it is unbounded, its rank among pairs
of different scenes makes a number in [0, 1] of it. The patent takes the similarity as the rendering
degree, which leaves most looks invisible; here a degree that people see is made of it.

Axes: N picture, F feature, Q knot.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codec.pictures.storage import write_atomically
from defilter.scene.network import SceneClassifier, pooled, see
from defilter.weights import WeightsError, fingerprint, load_network

SHIPPED = Path(__file__).with_name("scene.safetensors")
SHIPPED_SPACE = Path(__file__).with_name("space.safetensors")
KNOTS = 33
_PAIRS = 200_000
_LEAST, _MOST = 0.05, 0.95  # similarity of the least and the most alike of different scenes
LEAST_DEGREE = 0.5


class SceneDescriptor(NamedTuple):
    """What is kept of a picture.

    Attributes:
        name: of its class.
        confidence: how sure that is, 0 to 1.
        features: F numbers; their squares sum to 1.
        network: fingerprint of the classifier; only views of one classifier can be compared.
    """

    name: str
    confidence: float
    features: list[float]
    network: str = ""


def pool_descriptors(views: Sequence[SceneDescriptor]) -> SceneDescriptor:
    """One view of several templates: the class with most confidence, the mean features.

    Args:
        views: at least one, all of one classifier.
    """
    votes: dict[str, float] = {}
    for view in views:
        votes[view.name] = votes.get(view.name, 0.0) + view.confidence
    name = max(votes, key=lambda name: votes[name])
    features = torch.tensor([view.features for view in views], dtype=torch.float64).mean(0)
    features /= torch.linalg.vector_norm(features).clamp(min=1e-12)
    return SceneDescriptor(name, votes[name] / len(views), features.tolist(), views[0].network)


class SceneSpace(NamedTuple):
    """What training pictures say about distances.

    Attributes:
        layer: whose features are compared.
        whitening: (F, F) root of the inverse covariance within classes.
        knots: (Q,) rising distances: quantiles over pairs of different classes.
    """

    layer: str
    whitening: Tensor
    knots: Tensor

    def distances(self, one: Tensor, other: Tensor) -> Tensor:
        """Mahalanobis distances (N,) of features (N, F)."""
        return torch.linalg.vector_norm((one - other) @ self.whitening, dim=1)

    def alike(self, distances: Tensor) -> Tensor:
        """Similarity in [0, 1]: a falling map of the distance, linear between quantiles."""
        ranks = np.linspace(_MOST, _LEAST, len(self.knots))
        knots = [0.0, *self.knots.tolist(), 2 * float(self.knots[-1])]
        found = np.interp(distances.numpy(), knots, [1.0, *ranks, 0.0])
        return torch.from_numpy(found)


def fit_space(
    layer: str,
    training: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    shrinkage: float,
) -> SceneSpace:
    """The covariance within classes of training pictures; the map from pictures held out.

    Args:
        training, held_out: features (N, F) of length 1, and labels (N,).
        shrinkage: share of a round covariance that is mixed in.
    """
    (features, labels), (others, their_labels) = training, held_out
    x = features.double()
    means = torch.stack([x[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
    within = x - means[labels]
    covariance = within.T @ within / len(within)
    size = covariance.shape[0]
    round_one = torch.eye(size, dtype=x.dtype) * covariance.trace() / size
    covariance = (1 - shrinkage) * covariance + shrinkage * round_one
    values, vectors = torch.linalg.eigh(covariance)
    whitening = (vectors * values.rsqrt()).float()
    space = SceneSpace(layer, whitening, torch.zeros(0))
    generator = torch.Generator().manual_seed(0)
    i, j = torch.randint(len(others), (2, _PAIRS), generator=generator)
    apart = their_labels[i] != their_labels[j]
    distances = space.distances(others[i[apart]], others[j[apart]])
    return space._replace(knots=torch.quantile(distances, torch.linspace(0, 1, KNOTS)))


def visible_degree(similarity: float) -> float:
    """Rendering degree, 0.5 to 1: at least half of the look, all of it for one scene.

    Over 4,000 pairs of unrelated photos (ImageNet samples and BSDS500) the similarity has a median
    of 0.33 and quartiles of 0.13 and 0.63; its root spreads them over 0.68, 0.79 and 0.90, where
    0.5 + 0.5 s itself would stay at 0.56, 0.67 and 0.81.
    """
    return LEAST_DEGREE + (1 - LEAST_DEGREE) * similarity**0.5


def literal_degree(similarity: float) -> float:
    """Rendering degree, 0 to 1, as US 2025/0252542 has it: the similarity itself."""
    return similarity


class SceneComparer:
    """Says what scene a picture shows, how alike two are, and the rendering degree for it.

    Args:
        network: the classifier.
        space: see `SceneSpace`.
        least_confidence: below it a class is not believed, and the features decide.
        degree_of: similarity -> rendering degree: `visible_degree` or `literal_degree`.
    """

    def __init__(
        self,
        network: SceneClassifier,
        space: SceneSpace,
        least_confidence: float = 0.6,
        degree_of: Callable[[float], float] = visible_degree,
    ):
        self.network, self.space = network.eval(), space
        self.least_confidence, self.degree_of = least_confidence, degree_of
        self.fingerprint = fingerprint(network)

    @torch.no_grad()
    def descriptors(self, pictures: Tensor) -> list[SceneDescriptor]:
        """Views of (N, 3, H, W) pictures in [0, 1], on any device."""
        device = next(self.network.parameters()).device
        found = self.network.layers(see(pictures.to(device)))
        probabilities = self.network.classify(found["fc7"]).softmax(1)
        features = pooled(found[self.space.layer])
        best = probabilities.max(1)
        return [
            SceneDescriptor(
                self.network.classes[int(label)], float(probability), row.tolist(), self.fingerprint
            )
            for label, probability, row in zip(best.indices, best.values, features, strict=True)
        ]

    def literally(self) -> "SceneComparer":
        """The same, whose degree is the similarity itself."""
        return SceneComparer(self.network, self.space, self.least_confidence, literal_degree)

    def degree(self, template: SceneDescriptor, photo: SceneDescriptor) -> float:
        """How strongly a photo takes the look of a template, 0 to 1; see `similarity`."""
        return self.degree_of(self.similarity(template, photo))

    def similarity(self, one: SceneDescriptor, other: SceneDescriptor) -> float:
        """In [0, 1]; 1 for two pictures that surely show one class.

        Raises:
            ValueError: views of another classifier.
        """
        if not {one.network, other.network} <= {self.fingerprint}:
            raise ValueError(
                f"expected scenes seen by the classifier {self.fingerprint}, "
                f"got {one.network or 'none'} and {other.network or 'none'}"
            )
        sure = min(one.confidence, other.confidence) >= self.least_confidence
        if sure and one.name == other.name:
            return 1.0
        a, b = (torch.tensor([view.features]) for view in (one, other))
        if not a.shape[1] == b.shape[1] == len(self.space.whitening):
            raise ValueError(
                f"expected {len(self.space.whitening)} scene features, "
                f"got {a.shape[1]} and {b.shape[1]}"
            )
        return float(self.space.alike(self.space.distances(a, b))[0])


def save_space(space: SceneSpace, network: SceneClassifier, path: Path) -> None:
    """Write a space beside the network that it belongs to."""
    tensors = {"whitening": space.whitening.contiguous(), "knots": space.knots.contiguous()}
    notes = {"layer": space.layer, "network": fingerprint(network)}
    write_atomically(path, save(tensors, notes))


def load_scene_comparer(
    weights: Path | str | None = None,
    space: Path | str | None = None,
    least_confidence: float = 0.6,
    degree_of: Callable[[float], float] = visible_degree,
) -> SceneComparer:
    """The comparer that ships, or one of your own.

    Args:
        weights: a classifier, from `train.py experiment=scene`.
        space: what `fit=scene_space` made of it.
        least_confidence, degree_of: see `SceneComparer`.

    Raises:
        WeightsError: not such files, or two that do not belong together.
    """
    network = load_network(SHIPPED if weights is None else weights, SceneClassifier)
    path = SHIPPED_SPACE if space is None else Path(space)
    try:
        with safe_open(str(path), "pt") as file:
            notes = file.metadata() or {}
            found = SceneSpace(
                notes["layer"], file.get_tensor("whitening"), file.get_tensor("knots")
            )
    except (SafetensorError, OSError, KeyError) as error:
        raise WeightsError(f"{path}: expected a file that fit=scene_space wrote") from error
    if notes.get("network") != fingerprint(network):
        raise WeightsError(f"{path}: belongs to another classifier; run fit=scene_space for it")
    return SceneComparer(network, found, least_confidence, degree_of)
