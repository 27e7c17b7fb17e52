"""Starts a replica: ``python main.py LAUNCH.json``, or ``python main.py --check-import LAUNCH.json``.

Runs on any CPython from 3.6 on with nothing but its standard library: this is executed by the interpreter of the
package's own environment, which has only what the package asked for.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    """Return the exit code of the process."""
    if sys.version_info < (3, 6):
        sys.stderr.write("modelserve needs Python 3.6 or newer for backends, this is %s (%s)\n"
                         % (sys.version.split()[0], sys.executable))
        return 1
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    # Only for the imports of the runner itself: nothing beside this file may shadow a module of the user.
    sys.path.insert(0, HERE)
    from modelserve_runner import command
    sys.path.remove(HERE)
    return command.run(sys.argv[1:])


if __name__ == "__mp_main__":
    # A child that multiprocessing started afresh: it imports the user's package from the snapshot, which is shared.
    sys.dont_write_bytecode = True
elif __name__ == "__main__":
    sys.exit(main())
