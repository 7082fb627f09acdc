"""Reports: what the store holds of some experiments, as one page, with published points beside."""

from qlab.report.page import Report, write_report
from qlab.report.reference import References, read_references
from qlab.report.sections import Section, section_of

__all__ = ["References", "Report", "Section", "read_references", "section_of", "write_report"]
