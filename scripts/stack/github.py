"""The workflow file for GitHub Actions that pushes the images and runs the experiment."""

from scripts.spec import Experiment

_WORKFLOW = """\
# Pushes the images and runs {file} on Amazon SageMaker. `kennel setup --github` wrote it.
name: kennel
on: workflow_dispatch
permissions:
  id-token: write  # for the role below; there are no keys to store
  contents: read
jobs:
  train:
    runs-on: ubuntu-24.04
    timeout-minutes: 360
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.11"}}
      - uses: aws-actions/configure-aws-credentials@v4
        with:
          role-to-assume: {role}
          aws-region: {region}
      - run: make install
      - run: kennel doctor {file}
      - run: kennel tune {file}
"""


def workflow(experiment: Experiment, file: str, role: str, region: str) -> str:
    """Return the text of the workflow file.

    Args:
        experiment: what it runs.
        file: the spec's path in the repository.
        role: the ARN of the role that the workflow takes on.
        region: where the experiment runs.
    """
    return _WORKFLOW.format(file=file, role=role, region=experiment.region or region)
