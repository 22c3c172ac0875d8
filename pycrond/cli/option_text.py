"""The description of an option of a job."""

from typing import NamedTuple


class OptionText(NamedTuple):
    """The description of an option: the form of its value, its meaning and its default."""

    form: str
    """A placeholder in capital letters, or the words that are allowed."""
    text: str
    default: str = ""
    """A value as it is written in a crontab, or empty if there is none."""

    @property
    def paragraphs(self) -> list[str]:
        """The meaning and the default as paragraphs, each without line breaks."""
        paragraphs = [" ".join(paragraph.split()) for paragraph in self.text.split("\n\n")]
        if self.default:
            paragraphs[0] += f" Default: `{self.default}`."
        return paragraphs
