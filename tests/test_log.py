import logging
import os
import subprocess
import sys

from medseg.log import show_log

LOGGER = logging.getLogger("medseg.somewhere")


def test_a_command_shows_bare_lines(capsys):
    with show_log():
        LOGGER.info("backend %s: %s", "torch/cpu/fp32", "100 % of it")
        LOGGER.warning("damaged")
        LOGGER.debug("nothing")
        assert capsys.readouterr() == ("", "backend torch/cpu/fp32: 100 % of it\ndamaged\n")


def test_a_line_is_shown_once_though_the_root_logger_shows_lines_too(capsys):
    root, handler = logging.getLogger(), logging.StreamHandler(sys.stderr)
    root.addHandler(handler)
    try:
        with show_log():
            LOGGER.warning("once")
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr().err == "once\n"


def test_other_loggers_stay_as_they_are(capsys):
    with show_log():
        logging.getLogger("elsewhere").info("nothing")
    LOGGER.info("nothing, after the command")
    assert capsys.readouterr().err == ""
    assert logging.getLogger("medseg").propagate
    assert not logging.getLogger("medseg").handlers


def test_a_user_of_the_library_sees_warnings_alone():
    code = "import logging; log = logging.getLogger('medseg.x'); log.info('a line'); log.warning('a warning')"
    done = subprocess.run([sys.executable, "-c", f"import medseg; {code}"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "a warning\n")


def test_work_goes_on_when_nobody_reads_the_log():
    reading, writing = os.pipe()
    os.close(reading)
    code = (
        "import logging; from medseg.log import show_log\n"
        "with show_log(): logging.getLogger('medseg.x').info('epoch 1')\nprint('saved')"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writing, text=True, check=False)
    os.close(writing)
    assert done.stdout == "saved\n"
