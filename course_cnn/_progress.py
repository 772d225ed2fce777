"""A bar for long work, shown only where somebody watches."""

import contextlib
import sys


@contextlib.contextmanager
def progress(verbose=None):
    """Yield `show(share of the work done, text)`, or None where nobody watches; take the bar away at the end.

    Args:
        verbose: True for a bar, False for silence, None for a bar in a terminal and in a notebook cell run by hand.

    Example:
        >>> with progress(verbose=False) as show:
        ...     show is None
        True
    """
    shell = _notebook()
    if verbose is None:
        # Tools that run notebooks (nbclient, nbval, nbconvert) say that they cannot answer input(); pages can.
        verbose = shell.get_parent()["content"].get("allow_stdin", False) if shell else sys.stderr.isatty()
    if not verbose:
        yield None
    elif shell:
        from IPython.display import display

        handle = display({"text/plain": "training …"}, raw=True, display_id=True)

        def show(share, text):
            bar = "━" * round(30 * share)
            handle.update({"text/plain": f"{bar:─<30} {share:4.0%}  {text}"}, raw=True)

        try:
            yield show
        finally:
            handle.update({}, raw=True)  # an output without content: shows nothing, and nbval finds nothing in it
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("training …", total=1)
            yield lambda share, text: bar.update(task, completed=share, description=text)


def _notebook():
    """Return the IPython shell if this runs in a notebook, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None
