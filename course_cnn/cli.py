"""The command `course-cnn`: what it can do, and where that is. Each part is imported when its command is called."""

import argparse

import course_cnn
from course_cnn.grading import commands as grading


def main(argv=None):
    """Run the command line; `argv` is the list of words after `course-cnn`. Returns the exit code.

    Example:
        >>> main(["doctor", "--help"])
        Traceback (most recent call last):
        SystemExit: 0
    """
    parser = argparse.ArgumentParser(prog="course-cnn", description="Tools of the course on convolutional networks.")
    parser.add_argument("--version", action="version", version=f"course-cnn {course_cnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="course-cnn")
    doctor = commands.add_parser(
        "doctor", help="look at this machine: what is installed, what is missing, what to do",
        description="Look at this machine: packages, TensorFlow, GPU, data sets. Exit code 0 when the course can run, "
        "1 when something required is missing or outside the range the course is made for.",
    )  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    doctor.set_defaults(command=_doctor)
    grading.add(commands)
    arguments = parser.parse_args(argv)
    return arguments.command(arguments)


def _doctor(arguments):
    from course_cnn import doctor

    return doctor.run(arguments)
