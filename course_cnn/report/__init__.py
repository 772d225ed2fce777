"""What a Keras model costs and sees: parameters, multiply-adds, memory, and how far each unit looks.

`trace` follows the calls of a model, `known` says what each kind of layer does, `costs` and `fields` do the sums,
`summary` and `text` show them; `gradient` measures a field instead of deducing it.
"""

from course_cnn.report.gradient import gradient_field, reach
from course_cnn.report.summary import Row, Summary, summarize

__all__ = ["Row", "Summary", "gradient_field", "reach", "summarize"]
