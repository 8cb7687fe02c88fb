"""An interruption at a chosen instruction of our ubus modules, as sensing's timer may give one anywhere."""

from __future__ import annotations

import sys
from types import FrameType
from typing import NoReturn


class Struck(BaseException):
    """As sensing's Overrun: no Exception."""


class Strike:
    """Raise `Struck` before the given instruction of our modules; `is_done` when there were fewer."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.is_done = True

    def arm(self) -> None:
        """Begin to count."""
        # Python 3.12 gives instructions only to who asked for them before it began.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self)

    def __call__(self, frame: FrameType, what: str, _: object) -> Strike | None:
        if "/agent/router/ubus" not in frame.f_code.co_filename and "/agent/router/blobmsg" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if what == "opcode":
            self.left -= 1
            if self.left == 0:
                self.is_done = False
                self._raise()
        return self

    @staticmethod
    def _raise() -> NoReturn:
        raise Struck
