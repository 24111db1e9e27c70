"""How do a test and the demo look behind the scenes?

`/simulator/...`, from loopback only and without login: the truth about every cluster, the journal of writes, counts of
requests, faults to switch on and off, clusters to add and remove. Not part of Rancher.
"""

import json
from typing import Any

from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.http import Answer, Ask, Json, as_json
from rancher_ext.simulator.scenario import ScenarioError, scenario_ids

LOOPBACK = ("127.", "::1", "::ffff:127.", "testclient")


class Control:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def handle(self, ask: Ask) -> Answer:
        if not ask.client[0].startswith(LOOPBACK):
            return _problem(403, "the simulator's own pages answer on loopback only")
        parts = [p for p in ask.path.split("/") if p][1:]
        try:
            return self._route(ask, ask.method, parts)
        except (ScenarioError, ValueError, TypeError) as e:
            return _problem(400, str(e))

    def _route(self, ask: Ask, method: str, parts: list[str]) -> Answer:
        fleet = self._fleet
        match method, parts:
            case "GET", ["truth"]:
                return as_json(fleet.truth())
            case "GET", ["writes"]:
                return as_json({"writes": list(fleet.journal)})
            case "DELETE", ["writes"]:
                fleet.journal.clear()
                return Answer(204)
            case "GET", ["requests"]:
                return as_json(self._requests())
            case "DELETE", ["requests"]:
                fleet.requests.clear()
                return Answer(204)
            case "GET", ["scenarios"]:
                return as_json({"scenarios": scenario_ids()})
            case "GET", ["faults"]:
                return as_json({"faults": fleet.faults.listed()})
            case "POST", ["faults"]:
                options = _object(ask)
                kind = options.pop("kind", "")
                return as_json({"id": fleet.faults.add(kind, **options).id}, 201)
            case "DELETE", ["faults"]:
                fleet.faults.clear()
                return Answer(204)
            case "POST", ["clusters"]:
                options = _object(ask)
                scenario, name = options.pop("scenario", ""), options.pop("name", None)
                cluster = fleet.add(scenario, name, **options)
                return as_json({"id": cluster.id, "name": cluster.name}, 201)
            case "DELETE", ["clusters", cluster_id] if cluster_id in fleet.clusters:
                fleet.remove(cluster_id)
                return Answer(204)
            case "POST", ["compact"]:
                fleet.local.forget_history()
                return Answer(204)
            case _:
                return _problem(404, f"the simulator has no {method} {ask.path}")

    def _requests(self) -> Json:
        by_path: dict[str, int] = {}
        by_method: dict[str, int] = {}
        for key, count in self._fleet.requests.items():
            method, path = key.split(" ", 1)
            by_path[path] = by_path.get(path, 0) + count
            by_method[method] = by_method.get(method, 0) + count
        return {"total": sum(by_method.values()), "by_method": by_method, "by_path": by_path}


def _object(ask: Ask) -> dict[str, Any]:

    found = json.loads(ask.body or b"{}")
    if not isinstance(found, dict):
        raise TypeError("the body is one JSON object")
    return found


def _problem(status: int, message: str) -> Answer:
    return as_json({"error": message}, status)
