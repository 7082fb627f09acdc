"""What goes on around every command: errors as one message, exit statuses, interrupts."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from qlab import interrupts, output
from qlab.errors import QlabError
from qlab.tracking.redaction import hush_tracebacks


class Commands(click.Group):
    """Prints qlab's errors as one message and exits with 2; with 130 when it was interrupted, whatever came of that."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs a command, and leaves the process in order."""
        # A test's output is not that of its process, which goes on.
        process = sys.stdout is sys.__stdout__
        if process:
            output.prepare()
            hush_tracebacks()
        with interrupts.watching(process=process):
            try:
                return super().main(*args, **extra)
            except OSError as error:
                output.say(f"Error: {output.described(error)}")
                sys.exit(1)
            finally:
                if process:
                    output.give_up()
                    interrupts.end()

    def invoke(self, ctx: click.Context) -> Any:
        """Calls a command; errors become one message and an exit status."""
        try:
            result = super().invoke(ctx)
            interrupts.check()
            return result
        except QlabError as error:
            if interrupts.interrupted():
                _stopped(ctx, error)
            output.say(f"Error: {error}")
            ctx.exit(2)
        except (Exception, SystemExit) as error:
            if interrupts.interrupted():
                _stopped(ctx)
            from qlab.own_code import described, has_own_frame

            if not has_own_frame(error):
                raise
            output.say(f"Error: {described(error)}")
            ctx.exit(1)
        except KeyboardInterrupt:
            _stopped(ctx)


def _stopped(ctx: click.Context, error: QlabError | None = None) -> NoReturn:
    """Ends a command that was interrupted; an error that came of that is mentioned."""
    if not interrupts.told():
        output.say("Interrupted." if error is None else f"Interrupted; then: {error}")
        interrupts.tell()
    ctx.exit(interrupts.STATUS)
