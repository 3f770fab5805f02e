#!/usr/bin/env python3
"""Runs the arena's whole study and writes its tables (docs/arena.md, "The whole study").

    tools/arena.py [--seeds 11..20] [--only NAME,...] [--loads L,...] [--policies P,...]
                   [--out build/arena] [--medley BINARY] [--page FILE.md]

Each condition is one `medley simulate --compare`. Its answer is kept in OUT beside the command and the
binary that gave it; a condition that has an answer of the same two is not run again, so a study that was
stopped goes on. `make arena` runs all of it. Traces are found in $MEDLEY_SHARED (default ../shared);
conditions whose trace is not there are left out, and the page says so.
"""
import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

WRAPPED = [  # published policies behind a door
    'static_grid+admission', 'greedy_cheapest+admission', 'llmd_headroom+admission',
    'llmd_headroom_most+admission', 'dynamo_kv+admission', 'polyserve+admission', 'multi_factor+admission',
    'aibrix_slo+admission', 'least_outstanding+admission']
PUBLISHED = [
    'round_robin', 'p2c', 'least_outstanding', 'skypilot_instance_aware', 'smg_least_load', 'smg_cache_aware',
    'smg_cache_aware_library',
    'dynamo_kv', 'static_grid', 'llmd_default', 'llmd_headroom', 'llmd_headroom_most', 'aibrix_slo',
    'aibrix_prefix_cache', 'litellm_latency', 'litellm_latency_repaired', 'litellm_cost', 'multi_factor',
    'splitwise', 'polyserve', 'greedy_cheapest']
MAIN = ['medley', 'edf_composite'] + WRAPPED + ['aibrix_slo']
CLOSE = ['medley', 'edf_composite', 'static_grid+admission', 'least_outstanding+admission']
ABLATIONS = ['medley', 'medley-prices', 'medley-later', 'medley-residents', 'medley-refusal',
             'medley-probability', 'medley+lengths']

AZURE = 'traces/azure2023/conv.csv'
LOADS = '0.5,1,1.5,2'


def condition(name, title, scenario, policies=MAIN, loads=LOADS, trace=None, flags=(), chunk=None):
    return {'name': name, 'title': title, 'scenario': scenario, 'policies': policies, 'loads': loads,
            'trace': trace, 'flags': list(flags), 'chunk': chunk}


def mixed(name, title, **more):
    return condition(name, title, 'mixed_fleet', trace=AZURE, **more)


CONDITIONS = [
    mixed('mixed', 'The mixed fleet', policies=MAIN[:-1] + PUBLISHED),
    mixed('mixed-error', 'The mixed fleet, every forecast 30 % wrong', flags=['--prediction-error', '0.3']),
    *[mixed(f'mixed-chunk-{n}', f'The mixed fleet, chunks of {n} tokens', policies=CLOSE, chunk=n)
      for n in (256, 768, 1024, 2048)],
    mixed('mixed-ablations', 'The mixed fleet, medley without its parts', policies=ABLATIONS),
    mixed('mixed-prefill-error', 'The mixed fleet, prompts on scheduled devices 3 % off, unknown to all',
          policies=CLOSE, flags=['--prefill-error', '0.03']),
    condition('gpu_only', 'GPUs only', 'gpu_only'),
    condition('edge_npus', 'Edge with NPUs', 'edge_npus'),
    condition('sovereign_site', 'Sovereign site', 'sovereign_site'),
    condition('lpu_agents', 'Agents on LPUs', 'lpu_agents'),
    condition('batch_by_night', 'Batch by night: the mix, the tariff and the power limit change by the hour',
              'batch_by_night', loads='0.5,1,1.5'),
    condition('nodes_lost', 'Nodes lost', 'nodes_lost'),
    condition('mooncake', 'Mooncake conversations', 'mooncake', trace='traces/mooncake/conversation_trace.jsonl'),
    condition('servegen', 'ServeGen m-small', 'servegen', trace='traces/servegen/msmall_40min.csv'),
]


def scenario_file(one, out):
    """The scenario's file; with other chunks a copy of it and its fleet in `out`."""
    stem = ROOT / 'scenarios' / f"{one['scenario']}.yaml"
    if one['chunk'] is None:
        return stem
    folder = out / one['name']
    folder.mkdir(parents=True, exist_ok=True)
    text = stem.read_text()
    fleet = next(line.split(':', 1)[1].strip() for line in text.splitlines() if line.startswith('fleet:'))
    changed = (ROOT / 'scenarios' / fleet).read_text().replace('chunk_tokens: 384', f"chunk_tokens: {one['chunk']}")
    (folder / fleet).write_text(changed)
    (folder / stem.name).write_text(text)
    return folder / stem.name


def shown(path):
    return os.path.relpath(path, ROOT)


def command_of(one, out, seeds, shared):
    command = ['simulate', str(scenario_file(one, out)), '--compare', ','.join(one['policies']), '--load', one['loads'],
               '--seeds', seeds]
    if one['trace']:
        command += ['--trace', str(shared / one['trace'])]
    return command + one['flags'] + ['-o', 'json']


def answer(one, command, medley, out):
    """The condition's standings, from `out` where the same command of the same binary gave them."""
    kept = out / f"{one['name']}.json"
    asked = {'command': command, 'binary': hashlib.sha256(medley.read_bytes()).hexdigest()}
    if kept.exists():
        old = json.loads(kept.read_text())
        if old['asked'] == asked:
            return old
    start = time.monotonic()
    run = subprocess.run([str(medley), *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{one['name']}: {run.stderr.strip()}")
    new = {'asked': asked, 'seconds': round(time.monotonic() - start), 'standings': json.loads(run.stdout)}
    kept.write_text(json.dumps(new, indent=1))
    print(f"{one['name']}: {new['seconds']} s", file=sys.stderr)
    return new


def percent(share):
    return '-' if share is None else f'{100 * share:.1f}'


def points(estimate):
    if estimate is None:
        return ''
    if estimate['low'] is None:
        return f"{100 * estimate['mean']:+.2f}"
    return f"{100 * estimate['mean']:+.2f} ({100 * estimate['low']:+.2f} to {100 * estimate['high']:+.2f})"


def figure(number):
    return '-' if number is None else f'{number:.4g}'


def table(head, rows):
    lines = ['| ' + ' | '.join(row) + ' |' for row in [head, ['---'] * len(head), *rows]]
    return '\n'.join(lines) + '\n'


def table_of(standings):
    classes = [c for c in ('guaranteed', 'standard', 'flex', 'batch') if any(c in s['attainment'] for s in standings)]
    limited = any(s['peak_of_limit'] is not None for s in standings)
    head = ['load', 'policy', 'of the bound', 'gap', 'points to medley', 'value goodput', *classes, 'money/good', 'J/good']
    rows, load = [], None
    for s in standings:
        row = [figure(s['load']) if s['load'] != load else '', s['policy'], percent(s['share_of_bound']),
               percent(s['bound_gap']), points(s['share_ahead_of_first']), percent(s['value_goodput']['mean']),
               *[percent(s['attainment'].get(c)) for c in classes], figure(s['dollars_per_good']),
               figure(s['joules_per_good'])]
        load = s['load']
        rows.append(row + ([percent(s['peak_of_limit'])] if limited else []))
    return table(head + (['peak, % of the limit'] if limited else []), rows)


def summary_of(studies):
    """How far medley was from the best of the others at each load."""
    rows = []
    for one, found in studies:
        if one['policies'] is ABLATIONS:
            continue
        for load in dict.fromkeys(s['load'] for s in found['standings']):
            here = [s for s in found['standings'] if s['load'] == load]
            medley, others = here[0], here[1:]
            if not others:
                continue
            best = max(others, key=lambda s: s['share_of_bound'] or 0)
            rows.append([one['name'], figure(load), percent(medley['share_of_bound']), best['policy'],
                         percent(best['share_of_bound']), points(best['share_ahead_of_first'])])
    return table(['condition', 'load', 'medley', 'best other', 'of the bound', 'its points to medley'], rows)


def page_of(studies, missing, arguments):
    text = ['# The arena: the whole study', '',
            'Written by', '', f'```\ntools/arena.py {" ".join(arguments)}\n```', '',
            'Everything is simulated. Shares and attainments are %, differences are points of the share of the bound in pairs',
            'of runs with the same requests, with their 95 % interval.', '',
            '## Medley and the best of the others', '', summary_of(studies)]
    for one, found in studies:
        command = [a.replace(str(ROOT) + '/', '') for a in found['asked']['command'] if a not in ('-o', 'json')]
        if one['trace']:
            command[command.index('--trace') + 1] = one['trace'].rsplit('/', 1)[1]
        note = f" (`chunk_tokens: {one['chunk']}` in every pool of the fleet)" if one['chunk'] else ''
        text += [f"## {one['title']}", '', f'```\nmedley {" ".join(command)}\n```' + note, '', table_of(found['standings'])]
    if missing:
        text += ['## Left out', '', 'Their traces were not there: ' + ', '.join(missing) + '.', '']
    return '\n'.join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--seeds', default='11..20')
    parser.add_argument('--only', help='names of conditions: ' + ', '.join(c['name'] for c in CONDITIONS))
    parser.add_argument('--loads', help='in place of each condition\'s own')
    parser.add_argument('--policies', help='likewise; differences are to the first one')
    parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'build' / 'arena')
    parser.add_argument('--page', type=pathlib.Path, help='default OUT/arena-study.md')
    parser.add_argument('--medley', type=pathlib.Path, default=ROOT / 'build' / 'release' / 'medley')
    options = parser.parse_args()
    known = {c['name']: c for c in CONDITIONS}
    wanted = options.only.split(',') if options.only else list(known)
    for name in wanted:
        if name not in known:
            parser.error(f"no condition '{name}'; known: {', '.join(known)}")
    options.out.mkdir(parents=True, exist_ok=True)
    out = options.out.resolve()
    shared = pathlib.Path(os.environ.get('MEDLEY_SHARED', ROOT.parent / 'shared')).resolve()
    studies, missing = [], []
    for name in wanted:
        one = dict(known[name])
        if options.loads:
            one['loads'] = options.loads
        if options.policies:
            one['policies'] = options.policies.split(',')
        if one['trace'] and not (shared / one['trace']).exists():
            missing.append(name)
            continue
        studies.append((one, answer(one, command_of(one, out, options.seeds, shared), options.medley.resolve(), out)))
    page = options.page or out / 'arena-study.md'
    page.write_text(page_of(studies, missing, sys.argv[1:] or ['--seeds', options.seeds]))
    print(page)


if __name__ == '__main__':
    main()
