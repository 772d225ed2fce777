"""`python -m course_cnn` is `course-cnn`, for where the command is not on the path."""

import sys

from course_cnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
