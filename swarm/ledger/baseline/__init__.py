"""What people would have needed for the same work: hours, elapsed time and money, as bands.

`work` is the way for a task (its kind and an estimate made before), `product` the way for a product
(its size). `spread` holds what is not known exactly; `calibration` the borrowed figures, derived by
`tools/calibrate.py` from published data sets; `history` what the company learnt from its own orders,
whose figures `actuals` keeps; `rates` the price of an hour. `plan` joins them into the baseline of
an order, `frozen` stores it before the work begins, `compare` holds it against what the order cost.

To add a country or a kind of contract, add a line with its source to `rates.json`. To add a data
set, teach `tools/calibrate.py` to read it, and run it with `--report`: a band that transfers badly
shows there. Another kind of work is a word in `classes`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm.core.order import Baseline as BaselineEstimate
    from swarm.ledger.baseline.compare import RatioBand, ratio, why_no_ratio
    from swarm.ledger.baseline.plan import estimate

__all__ = ["BaselineEstimate", "RatioBand", "estimate", "ratio", "why_no_ratio"]

_PLACES = {
    "BaselineEstimate": "swarm.core.order:Baseline",
    "RatioBand": "swarm.ledger.baseline.compare:RatioBand",
    "estimate": "swarm.ledger.baseline.plan:estimate",
    "ratio": "swarm.ledger.baseline.compare:ratio",
    "why_no_ratio": "swarm.ledger.baseline.compare:why_no_ratio",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: settings are read at every start and need `config` alone."""
    if name not in _PLACES:
        raise AttributeError(name)
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)
