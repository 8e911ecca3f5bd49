"""Take the look of any photo and put it on others.

look = defilter.extract(["holiday.jpg"]).look
defilter.apply_to_files(look, ["photos/"], "out/")
defilter.save_look(look, "holiday.cube")
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names as _lazy_names
from codec.version import __version__ as __version__

if TYPE_CHECKING:
    from codec.pictures.picture_files import read_picture as read_picture
    from codec.pictures.picture_files import write_picture as write_picture
    from codec.pictures.sample_photos import embedded_photos as embedded_photos
    from defilter.analysis import NO_ANALYSERS as NO_ANALYSERS
    from defilter.analysis import Analysers as Analysers
    from defilter.analysis import default_analysers as default_analysers
    from defilter.extraction import Extraction as Extraction
    from defilter.extraction import fit_pair as fit_pair
    from defilter.extraction import fit_rough_pair as fit_rough_pair
    from defilter.extraction import look_from_pair as look_from_pair
    from defilter.extraction import look_from_templates as look_from_templates
    from defilter.files import apply_to_files as apply_to_files
    from defilter.files import remove_from_files as remove_from_files
    from defilter.files import transfer as transfer
    from defilter.look import Look as Look
    from defilter.look import load_look as load_look
    from defilter.look import save_look as save_look
    from defilter.networks import default_network as default_network
    from defilter.networks import load_look_network as load_look_network
    from defilter.sampling import UnusableTemplate as UnusableTemplate
    from defilter.verbs import apply as apply
    from defilter.verbs import extract as extract
    from defilter.verbs import extract_pair as extract_pair
    from defilter.verbs import remove as remove

_HOMES = {
    "NO_ANALYSERS": "defilter.analysis",
    "Analysers": "defilter.analysis",
    "Extraction": "defilter.extraction",
    "Look": "defilter.look",
    "UnusableTemplate": "defilter.sampling",
    "apply": "defilter.verbs",
    "apply_to_files": "defilter.files",
    "default_analysers": "defilter.analysis",
    "default_network": "defilter.networks",
    "embedded_photos": "codec.pictures.sample_photos",
    "extract": "defilter.verbs",
    "extract_pair": "defilter.verbs",
    "fit_pair": "defilter.extraction",
    "fit_rough_pair": "defilter.extraction",
    "load_look": "defilter.look",
    "load_look_network": "defilter.networks",
    "look_from_pair": "defilter.extraction",
    "look_from_templates": "defilter.extraction",
    "read_picture": "codec.pictures.picture_files",
    "remove": "defilter.verbs",
    "remove_from_files": "defilter.files",
    "save_look": "defilter.look",
    "transfer": "defilter.files",
    "write_picture": "codec.pictures.picture_files",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
