"""Pipeline jobs: nodes that are command jobs of their own, each begun when those that it reads from have completed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from .errors import Json, user_error
from .parents import Parents
from .references import References
from .runs import Runs
from .store import Store
from .workspace import DEFAULT_DATASTORE

_PARENT = re.compile(r"\$\{\{\s*parent\.(inputs|outputs)\.([A-Za-z_]\w*)\s*\}\}$")
_SIBLING = re.compile(r"\$\{\{\s*parent\.jobs\.([A-Za-z_]\w*)\.outputs\.([A-Za-z_]\w*)\s*\}\}$")


class Pipelines(Parents):
    """Runs the pipelines of the store."""

    kind = "Pipeline"

    def __init__(self, store: Store, runs: Runs, references: References) -> None:
        super().__init__(store, runs)
        self._references = references

    def nodes_to_check(self, name: str, asked: Json) -> list[Json]:
        """The command jobs that the pipeline will start. ArmError for one that could not run."""
        nodes = asked.get("jobs") or {}
        if not nodes:
            raise user_error("A pipeline needs jobs.")
        commands = [self._command(name, asked, node) for node in nodes]
        rest = set(nodes)
        while rest:
            ready = {node for node in rest if not self._reads_from(nodes[node]) & rest}
            if not ready:
                raise user_error(f"The jobs {', '.join(sorted(rest))} of the pipeline wait for each other.")
            rest -= ready
        return commands

    def own_properties(self, asked: Json) -> Json:
        """What a pipeline has beside what every job has."""
        about = {"azureml.runsource": "azureml.PipelineRun", "azureml.pipelineComponent": "pipelinerun"}
        properties = (asked.get("properties") or {}) | about
        return {
            "status": "NotStarted",
            "properties": properties,
            "settings": asked.get("settings"),
            "sourceJobId": None,
        }

    async def _work(self, name: str) -> None:
        self._set(name, {"status": "Running"})
        failed = await self._nodes(name)
        if failed:
            await self._end_children(name)
        self._end(name, "Failed" if failed else "Completed", failed)

    def _children(self, name: str) -> list[str]:
        children = [_child(name, node) for node in self._job(name)["properties"]["jobs"]]
        return [child for child in children if self._status(child)]

    async def _nodes(self, name: str) -> str | None:
        """Every node once what it reads is there; the first failure in words, None when all have completed."""
        properties = self._job(name)["properties"]
        nodes: Mapping[str, Json] = properties["jobs"]
        started = [node for node in nodes if self._status(_child(name, node))]
        while True:
            status = {node: self._status_of_child(_child(name, node)) for node in started}
            done = {node for node in started if status[node] == "Completed"}
            bad = next((node for node in started if status[node] in ("Failed", "Canceled")), None)
            if bad is not None:
                why = self._error_of_child(_child(name, bad))
                return f"The job {bad} of the pipeline {status[bad].lower()}. {why}".strip()
            if len(done) == len(nodes):
                return None
            for node, asked in nodes.items():
                if node not in started and self._reads_from(asked) <= done:
                    self.start_child(_child(name, node), self._command(name, properties, node))
                    started.append(node)
            running = self._ends([_child(name, node) for node in started])
            assert running, "jobs that wait for each other are refused"
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    def _command(self, name: str, pipeline: Json, node: str) -> Json:
        """The command job that a node is."""
        asked = pipeline["jobs"][node]
        if asked.get("type", "command") != "command" or not asked.get("componentId"):
            raise user_error(f"The job {node} of the pipeline is no command component, and the emulator has no other.")
        _, _, component = self._references.asset("components", asked["componentId"])
        spec = component["properties"]["componentSpec"]
        compute = (
            asked.get("computeId")
            or pipeline.get("computeId")
            or (pipeline.get("settings") or {}).get("default_compute")
        )
        return {
            "jobType": "Command",
            "parentJobName": name,
            "displayName": node,
            "experimentName": pipeline.get("experimentName"),
            "command": spec.get("command"),
            "codeId": _id(spec.get("code")),
            "environmentId": _id(spec.get("environment")),
            "environmentVariables": asked.get("environment_variables") or spec.get("environment_variables"),
            "computeId": compute,
            "componentId": asked["componentId"],
            "inputs": self._inputs(name, pipeline, node, spec),
            "outputs": {each: self._output(name, pipeline, node, each) for each in spec.get("outputs") or {}},
            "limits": asked.get("limits"),
        }

    def _inputs(self, name: str, pipeline: Json, node: str, spec: Json) -> Json:
        given = pipeline["jobs"][node].get("inputs") or {}
        inputs: Json = {}
        for each, declared in (spec.get("inputs") or {}).items():
            if each in given:
                inputs[each] = self._input(name, pipeline, node, given[each])
            elif "default" in declared:
                inputs[each] = {"jobInputType": "literal", "value": str(declared["default"])}
            elif str(declared.get("optional")).lower() != "true":
                raise user_error(f"The job {node} of the pipeline has no input {each}.")
        return inputs

    def _input(self, name: str, pipeline: Json, node: str, given: Json) -> Json:
        value = str(given.get("value", ""))
        if match := _PARENT.match(value):
            found = (pipeline.get(match[1]) or {}).get(match[2])
            if found is None:
                raise user_error(f"The job {node} refers to {match[1]}.{match[2]}, which the pipeline does not have.")
            return dict(found)
        if match := _SIBLING.match(value):
            if match[1] not in pipeline["jobs"]:
                raise user_error(f"The job {node} refers to the job {match[1]}, which the pipeline does not have.")
            output = self._output(name, pipeline, match[1], match[2])
            return {"jobInputType": output["jobOutputType"], "uri": output["uri"]}
        # written with underscores inside a pipeline
        return {"jobInputType": given.get("job_input_type", "literal"), **_without(given, "job_input_type")}

    def _output(self, name: str, pipeline: Json, node: str, output: str) -> Json:
        """One output of a node: where the pipeline's own lies that it is bound to, else a place of its own."""
        asked = pipeline["jobs"][node]
        _, _, component = self._references.asset("components", asked["componentId"])
        declared = (component["properties"]["componentSpec"].get("outputs") or {}).get(output)
        if declared is None:
            raise user_error(f"The job {node} of the pipeline has no output {output}.")
        place = f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{_child(name, node)}/{output}/"
        bound = _PARENT.match(str(((asked.get("outputs") or {}).get(output) or {}).get("value", "")))
        if bound:
            place = output_of(name, bound[2], (pipeline.get("outputs") or {}).get(bound[2]) or {})
        return {"jobOutputType": declared.get("type", "uri_folder"), "uri": place}

    def _reads_from(self, node: Json) -> set[str]:
        values = [str(given.get("value", "")) for given in (node.get("inputs") or {}).values()]
        return {match[1] for value in values if (match := _SIBLING.match(value))}


def output_of(job: str, output: str, asked: Json) -> str:
    """Where a job's output lies: where it was asked for, with the job's name filled in, or in the default place."""
    uri = str(asked.get("uri") or f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{job}/{output}/")
    uri = uri.replace("${{name}}", job).replace("${{output_name}}", output)
    return uri.replace("${{default_datastore}}", f"azureml://datastores/{DEFAULT_DATASTORE}/paths")


def _child(name: str, node: str) -> str:
    return f"{name}_{node}"


def _id(reference: Any) -> str | None:
    """A component's reference to an asset, which has `azureml:` before an ARM id, as a job has it."""
    text = str(reference or "")
    return text.removeprefix("azureml:") if text.startswith("azureml:/subscriptions") else text or None


def _without(given: Json, name: str) -> Json:
    return {key: value for key, value in given.items() if key != name}
