"""One run of three nodes after another, each with the next seed, until one breaks the promise or all are done.

`python -m bench.seeds --seed 1 --runs 20`; of a run that failed it says what was done in it, and how to repeat it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial

from bench.crash import Plan, Stuck
from bench.nodes import Backlog, Kind, Naps, Nodes
from bench.process import PROGRAM, Died, scratch
from vas.assembly import event_loop

VARIANTS = {each.__name__.lower(): each for each in (Nodes, Naps, Backlog)}


async def run(plan: Plan, kinds: Sequence[Kind], count: int, variant: str) -> list[str]:
    """What was broken, told as it goes."""
    again = f"python -m bench.seeds --seed {plan.seed} --faults {plan.kills} --nodes {count}"
    again += f" --kinds {' '.join(kind.name for kind in kinds)}{'' if plan.with_ids else ' --no-ids'}"
    again += f" --variant {variant}"
    with scratch() as folder:
        nodes = VARIANTS[variant](plan, folder, partial(print, "  "), kinds=kinds, count=count)
        began = time.monotonic()
        try:
            verdict = await nodes.run()
        except (Died, Stuck) as error:
            print(f"{again}\n  {error}")
            return [str(error)]
    print(
        f"{again}: {verdict.commands:,} commands, {verdict.copies:,} copies, {verdict.moved:,} to another node, "
        f"{verdict.repeated:,} submit_sm repeated, {time.monotonic() - began:.0f} s, {len(verdict.violations)} broken",
        *verdict.violations, sep="\n  ", flush=True,
    )  # fmt: skip
    return verdict.violations


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seeds", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--faults", type=int, default=len(Kind))
    parser.add_argument(
        "--kinds", nargs="+", choices=[kind.name for kind in Kind], default=[kind.name for kind in Kind]
    )
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--no-ids", action="store_true", help="the SMSC gives its messages no ids")
    parser.add_argument("--variant", choices=VARIANTS, default="nodes", help="classes of bench.nodes")
    parser.add_argument("--bug", help="one that is planted: a name of tests.crash.planted_nodes")
    options = parser.parse_args()
    chosen = [Kind[name] for name in options.kinds]
    plan = Plan(
        options.faults, not options.no_ids, subscribers=600, outstanding=200, friends=400 if options.no_ids else 100,
        program=("-m", "tests.crash.planted_nodes", options.bug) if options.bug else PROGRAM,
    )  # fmt: skip
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        for seed in range(options.seed, options.seed + options.runs):
            if runner.run(run(plan._replace(seed=seed), chosen, options.nodes, options.variant)):
                sys.exit("the promise was broken")


if __name__ == "__main__":
    main()
