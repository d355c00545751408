"""Makes the tests of vxlab itself independent of how they were started."""

import signal

# Under nohup, or as a background job of a script, these are ignored, and whatever a test starts
# would ignore them too: a shell cannot even undo that (POSIX, trap).
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
