"""Video: PyAV, its encoders, TorchCodec, and pytorchvideo's imports."""

import sys
from collections.abc import Iterator

from dynamonet.doctor.finding import OK, PROBLEM, Finding, NoAnswer, answer

SUBJECT = "video"
ENCODERS = {"libx264": "prepared copies and the embedded data sets", "mpeg4": "the embedded data sets"}
PYAV = """
import av, dynamonet.data.video
from av.codec import Codec
lacking = []
for name in {names!r}:
    try:
        Codec(name, "w")
    except Exception:
        lacking.append(name)
print(av.__version__, ".".join(map(str, av.library_versions["libavcodec"])), *lacking)
"""
TORCHCODEC = """
import torchcodec, torchcodec.decoders
print(torchcodec.__version__)
"""
PYTORCHVIDEO = """
import pytorchvideo.models.hub
try:
    import pytorchvideo.transforms
    print("whole")
except ImportError as error:
    print(error)
"""


def check_decoding(reader: str | None = None) -> Iterator[Finding]:
    """reader: of the study, which must load; None: no study asks for one."""
    try:
        version, libavcodec, *lacking = _python(PYAV.format(names=tuple(ENCODERS))).split()
        yield Finding(SUBJECT, OK, f"PyAV {version} with libavcodec {libavcodec}")
        for name in lacking:
            says = f"this PyAV has no encoder {name}, which {ENCODERS[name]} need"
            yield Finding(SUBJECT, PROBLEM, says, "pip install --force-reinstall --only-binary av av")
    except NoAnswer as error:
        yield Finding(SUBJECT, PROBLEM, f"PyAV does not load ({error})", "pip install -c constraints.txt -e .")
    try:
        yield Finding(SUBJECT, OK, f"TorchCodec {_python(TORCHCODEC).strip()} loads")
    except NoAnswer as error:
        mend = "pip install -e .[torchcodec], and your system's FFmpeg libraries; or reader: pyav in the study"
        asked = reader == "torchcodec"
        says = f"TorchCodec does not load ({error}); " + ("the study reads with it" if asked else "nothing asks for it")
        yield Finding(SUBJECT, PROBLEM if asked else OK, says, mend if asked else "")
    try:
        said = _python(PYTORCHVIDEO).strip()
    except NoAnswer as error:
        mend = "pip install -c constraints.txt -e ."
        yield Finding(SUBJECT, PROBLEM, f"pytorchvideo's models do not import ({error})", mend)
        return
    trap = "" if said == "whole" else f"; its transforms do not ({said}): no baseline may use those"
    yield Finding(SUBJECT, OK, f"pytorchvideo's models import{trap}")


def _python(code: str) -> str:
    return answer([sys.executable, "-W", "ignore", "-c", code])
