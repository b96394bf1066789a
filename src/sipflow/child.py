"""Programs that the recorder starts beside itself: how they are ended."""

import contextlib
import subprocess


def end(process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """Let a program end, and kill one that has not after so long."""
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe that orders went by: its end tells the program that nobody waits for it."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
