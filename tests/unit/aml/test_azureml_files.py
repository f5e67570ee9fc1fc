"""The job, endpoint and deployment files are what the real SDK accepts, and the code snapshot holds aml/ alone."""

from pathlib import Path, PurePosixPath

import pytest

from aml.contract import load_contract

# azure-ai-ml declares its schemas in ways that marshmallow 4 will refuse; its own pin keeps marshmallow at 3.
pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning"),
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),
]

_ROOT = Path(__file__).resolve().parents[3]
_AML = _ROOT / "aml"


def test_the_job_runs_the_training_script_on_its_inputs() -> None:
    from azure.ai.ml import load_job

    job = load_job(_AML / "jobs/train.yml")

    command = "python -m aml.train --dataset ${{inputs.dataset}} --data ${{inputs.data}} --model ${{outputs.model}}"
    options = "--contamination ${{inputs.contamination}} --champion ${{inputs.champion}} --version ${{inputs.version}}"
    automl = "--automl ${{inputs.automl}} --automl-table ${{inputs.automl_table}}"
    assert job.command.strip() == f"{command} {options} {automl}"
    sent = job._to_job()._to_rest_object().properties  # what the SDK puts on the wire
    gas = load_contract(sent.inputs["dataset"].value)
    assert float(sent.inputs["contamination"].value) == gas.contamination
    assert sent.inputs["data"].job_input_type == "uri_file"
    assert (sent.inputs["automl"].value, sent.inputs["automl_table"].value) == ("none", "none")
    assert sent.inputs["champion"].value == "none"  # without a model in service the job runs as it stands
    assert sent.outputs["model"].job_output_type == "custom_model"
    assert (_AML / "jobs" / job.code).resolve() == _ROOT
    assert any("pip" in entry for entry in job.environment.conda_file["dependencies"] if isinstance(entry, dict))


def test_the_sweep_runs_the_training_script_on_its_search_space() -> None:
    from azure.ai.ml import load_job

    job, plain = load_job(_AML / "jobs/sweep.yml"), load_job(_AML / "jobs/train.yml")

    sent = job._to_rest_object().properties
    gas = load_contract(sent.inputs["dataset"].value)
    assert sent.search_space["contamination"] == ["choice", [[gas.contamination]]]
    assert set(sent.search_space) == {"contamination", "trees", "max_samples", "max_features"}
    assert sent.objective.primary_metric == f"search_{gas.tuning.objective}"
    assert "--trial" in job.trial.command
    assert "--champion ${{inputs.champion}}" in job.trial.command
    for name in sent.search_space:
        assert f"--{name.replace('_', '-')} ${{{{search_space.{name}}}}}" in job.trial.command
    assert (_AML / "jobs" / job.trial.code).resolve() == _ROOT
    assert job.trial.environment.conda_file == plain.environment.conda_file
    assert job.trial.environment.image == plain.environment.image
    assert job.inputs["data"].path == plain.inputs["data"].path
    assert job.outputs["model"].path.endswith("/${{name}}")
    assert job.early_termination is not None


def test_the_automl_job_is_one_of_classification() -> None:
    from azure.ai.ml import load_job

    sent = load_job(_AML / "jobs/automl.yml")._to_rest_object().properties

    details = sent.task_details
    assert (sent.job_type, details.task_type, details.primary_metric) == ("AutoML", "Classification", "Accuracy")
    assert details.training_data.job_input_type == "mltable"
    assert details.target_column_name == "target"
    assert details.n_cross_validations.value == 5
    assert details.limit_settings.max_trials == 20
    assert details.featurization_settings.mode.lower() == "off"
    training = details.training_settings
    assert training.enable_onnx_compatible_models
    assert not training.enable_stack_ensemble
    assert not training.enable_vote_ensemble


def test_the_step_before_automl_runs_in_the_training_jobs_environment() -> None:
    from azure.ai.ml import load_job

    from aml.tabular.automl import TARGET

    job, single = load_job(_AML / "jobs/automl-table.yml"), load_job(_AML / "jobs/train.yml")

    command = "python -m aml.automl --dataset ${{inputs.dataset}} --data ${{inputs.data}} --table ${{outputs.table}}"
    assert job.command.strip() == command
    assert job.environment.conda_file == single.environment.conda_file
    assert job.environment.image == single.environment.image
    assert (_AML / "jobs" / job.code).resolve() == _ROOT
    assert job._to_job()._to_rest_object().properties.outputs["table"].job_output_type == "uri_folder"
    assert load_job(_AML / "jobs/automl.yml").target_column_name == TARGET


def test_every_yaml_file_is_one_that_is_tested() -> None:
    """A new one is added here and to a test that loads it."""
    found = {path.relative_to(_AML).as_posix() for path in _AML.glob("*/*.yml") if path.parent.name != "datasets"}

    assert found == {
        "jobs/train.yml",
        "jobs/sweep.yml",
        "jobs/automl.yml",
        "jobs/automl-table.yml",
        "jobs/pipeline.yml",
        "endpoints/endpoint.yml",
        "endpoints/deployment.yml",
        "env/conda.yml",
    }


def test_the_deployment_serves_the_scoring_script_in_the_jobs_environment() -> None:
    from azure.ai.ml import load_job, load_online_deployment, load_online_endpoint

    endpoint = load_online_endpoint(_AML / "endpoints/endpoint.yml")
    deployment = load_online_deployment(_AML / "endpoints/deployment.yml")
    environment = load_job(_AML / "jobs/train.yml").environment

    assert deployment.endpoint_name == endpoint.name
    assert endpoint.auth_mode == "key"
    code = deployment.code_configuration
    assert (_AML / "endpoints" / code.code).resolve() == _ROOT
    assert (_ROOT / code.scoring_script) == _AML / "score.py"
    assert (
        deployment.environment.image == environment.image == "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
    )
    assert deployment.environment.conda_file == environment.conda_file
    assert deployment.request_settings.request_timeout_ms >= 60_000
    assert deployment.request_settings.max_concurrent_requests_per_instance >= 4
    assert deployment.liveness_probe is not None
    assert deployment.readiness_probe is not None


def test_the_code_snapshot_holds_aml_and_nothing_else() -> None:
    from azure.ai.ml._utils._asset_utils import get_ignore_file

    ignore = get_ignore_file(_ROOT)
    inside = ["aml/__init__.py", "aml/score.py", "aml/datasets/gas.yml", "aml/env/conda.yml"]
    outside = [
        "README.md",
        "local.settings.json",
        ".git/config",
        "aml.md",
        "shared/aml/x.py",
        "tests/unit/aml/streams.py",
        ".local/envs/x/aml/y.py",
        "aml/__pycache__/score.cpython-311.pyc",
    ]

    assert [path for path in (*inside, *outside) if not ignore.is_file_excluded(_ROOT / path)] == inside
    assert all((_ROOT / path).is_file() for path in inside)
    assert PurePosixPath(ignore.path).name == ".amlignore"


def test_the_pipelines_steps_are_those_of_the_single_job() -> None:
    from azure.ai.ml import load_job

    from aml import steps

    pipeline, single = load_job(_AML / "jobs/pipeline.yml"), load_job(_AML / "jobs/train.yml")

    assert list(pipeline.jobs) == ["ingest", "preprocess", "split", "train", "evaluate"] == list(steps._STEPS)
    assert pipeline.inputs["data"].path == single.inputs["data"].path
    for name, node in pipeline.jobs.items():
        component = node.component
        assert component.command.startswith(f"python -m aml.steps {name} --dataset ${{{{inputs.dataset}}}}")
        for declared in (*component.inputs, *component.outputs):
            assert f"--{declared} ${{{{" in component.command
        assert component.environment.conda_file == single.environment.conda_file
        assert component.environment.image == single.environment.image
        assert (_AML / "jobs/components" / component.code).resolve() == _ROOT
    assert pipeline.outputs["model"].type == "custom_model"
