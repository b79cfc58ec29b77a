"""Requests as the clients in use send them, answered as they expect."""

import numpy as np
import pytest

from tests.irt_service.api.site import (
    SHARED_TOKEN,
    SIX_DECIMALS,
    WORKED_STANDARD_ERROR,
    WORKED_THETA,
    Site,
)

KEYED = {
    "item_params": {
        "q_1": {"a": 1.0, "b": 0.0, "c": 0.0},
        "q_2": {"a": 1.5, "b": 0.5, "c": 0.0},
        "q_3": {"a": 0.8, "b": -1.0, "c": 0.2},
    },
    "responses": [
        {"item_id": "q_1", "is_correct": True},
        {"item_id": "q_2", "is_correct": False},
        {"item_id": "q_3", "is_correct": True},
    ],
}
MATRIX = {
    "item_params": [
        {"a": 1.0, "b": 0.0, "c": 0.0},
        {"a": 1.5, "b": 0.5},
        {"a": 0.8, "b": -1.0, "c": 0.2},
    ],
    "responses": [[1, 0, 1], [None, None, None], [1.0, 0.0, None]],
}
DIFFICULTIES = {
    f"q_{number}": difficulty for number, difficulty in enumerate((-1, -0.4, 0, 0.5, 1))
}


def answers(count: int, ability: float = 0.0) -> list[list[int]]:
    """Rows of a Rasch model with DIFFICULTIES."""
    generator = np.random.default_rng(7)
    theta = generator.normal(ability, 1.0, (count, 1))
    chance = 1 / (1 + np.exp(np.array(list(DIFFICULTIES.values())) - theta))
    rows: list[list[int]] = (generator.random(chance.shape) < chance).astype(int).tolist()
    return rows


def observations(rows: list[list[int]]) -> list[dict[str, object]]:
    """The same as one object per answer."""
    return [
        {"user_id": f"user_{number}", "item_id": item, "is_correct": bool(grade)}
        for number, row in enumerate(rows)
        for item, grade in zip(DIFFICULTIES, row, strict=True)
    ]


def test_a_bearer_token_and_items_by_id_give_the_worked_value(site: Site) -> None:
    answer = site.post("/irt/score", KEYED, who=SHARED_TOKEN)
    content = answer.json()
    assert answer.status_code == 200
    assert content.keys() == {"status", "theta", "se", "standard_error"}
    assert content["status"] == "ok"
    assert content["theta"] == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert content["se"] == pytest.approx(WORKED_STANDARD_ERROR, abs=SIX_DECIMALS)
    assert content["standard_error"] == content["se"]


def test_an_internal_token_and_rows_give_an_ability_each(site: Site) -> None:
    answer = site.post("/irt/score", MATRIX, who=None, headers={"X-Internal-Token": SHARED_TOKEN})
    content = answer.json()
    assert answer.status_code == 200
    assert content.keys() == {"status", "abilities"}
    first, nothing, two = content["abilities"]
    assert first["theta"] == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert first["se"] == pytest.approx(WORKED_STANDARD_ERROR, abs=SIX_DECIMALS)
    assert nothing == {"theta": 0.0, "se": 1.0}
    assert two["se"] < 1.0


def test_ids_that_are_numbers_mean_their_text(site: Site) -> None:
    answer = site.post(
        "/irt/score",
        {
            "item_params": {"17": {"a": 1.0, "b": 0.0, "c": None}},
            "responses": [{"user_id": 5, "item_id": 17, "is_correct": 1}],
        },
    )
    assert answer.status_code == 200
    assert answer.json()["theta"] > 0


def test_observations_are_calibrated_and_scored(site: Site) -> None:
    rows = answers(1000)
    given = observations(rows)
    given[0]["responded_at"] = "2025-11-02T12:00:00Z"
    answer = site.post("/irt/calibrate", {"observations": given, "model": "2PL", "anchors": []})
    content = answer.json()
    assert answer.status_code == 200, content
    assert content["status"] == "ok"
    meta = content["fit_meta"]
    assert meta["model_spec"] == {"model": "2PL", "n_persons": 1000, "n_items": 5}
    assert meta["linking_constants"] is None
    assert meta["run_id"]
    found = {one["item_id"]: one["params"] for one in content["item_params"]}
    assert {item: one["b"] for item, one in found.items()} == pytest.approx(DIFFICULTIES, abs=0.5)
    assert all(one["c"] == 0.0 for one in found.values())
    abilities = {one["user_id"]: one for one in content["abilities"]}
    best = next(number for number, row in enumerate(rows) if sum(row) == 5)
    worst = next(number for number, row in enumerate(rows) if sum(row) == 0)
    assert len(abilities) == 1000
    assert abilities[f"user_{best}"]["theta"] > abilities[f"user_{worst}"]["theta"] + 1
    # The table of scores and a single one come from the same code.
    again = site.post(
        "/irt/score",
        {
            "item_params": found,
            "responses": [{"item_id": item, "is_correct": 1} for item in found],
        },
    ).json()
    assert again["theta"] == pytest.approx(abilities[f"user_{best}"]["theta"], abs=1e-6)


def test_a_matrix_is_calibrated_in_its_order(site: Site) -> None:
    rows: list[list[int | None]] = [list(row) for row in answers(200)]
    rows[3] = [None, None, 1, 0, None]
    content = site.post("/irt/calibrate", {"responses": rows, "model": "rasch"}).json()
    assert [one["item_id"] for one in content["item_params"]] == ["I1", "I2", "I3", "I4", "I5"]
    assert {one["params"]["a"] for one in content["item_params"]} == {1.0}
    assert len(content["abilities"]) == 200
    assert content["abilities"][0].keys() == {"theta", "se"}
    assert content["abilities"][3]["se"] > content["abilities"][0]["se"]


@pytest.mark.parametrize("is_fixed", [True, False])
def test_anchors_set_the_scale(site: Site, is_fixed: bool) -> None:
    # A population one logit above the anchors' scale.
    known = dict(list(DIFFICULTIES.items())[:4])
    anchors = [
        {"item_id": item, "params": {"a": 1.0, "b": difficulty, "c": 0}, "fixed": is_fixed}
        for item, difficulty in known.items()
    ]
    content = site.post(
        "/irt/calibrate",
        {"observations": observations(answers(1500, 1.0)), "model": "2PL", "anchors": anchors},
    ).json()
    constants = content["fit_meta"]["linking_constants"]
    assert constants["B"] == pytest.approx(1.0, abs=0.25)
    assert constants["A"] == pytest.approx(1.0, abs=0.25)
    assert constants["n_anchors_used"] == 4
    thetas = [one["theta"] for one in content["abilities"]]
    assert sum(thetas) / len(thetas) == pytest.approx(1.0, abs=0.25)
    if is_fixed:
        found = {one["item_id"]: one["params"] for one in content["item_params"]}
        assert {item: found[item]["b"] for item in known} == known
        assert found["q_4"]["b"] == pytest.approx(1.0, abs=0.4)


def test_every_item_may_be_an_anchor(site: Site) -> None:
    anchors = [
        {"item_id": item, "params": {"a": 1.0, "b": difficulty}, "fixed": True}
        for item, difficulty in DIFFICULTIES.items()
    ]
    content = site.post(
        "/irt/calibrate",
        {"observations": observations(answers(800, 1.0)), "model": "2PL", "anchors": anchors},
    ).json()
    constants = content["fit_meta"]["linking_constants"]
    assert constants["n_anchors_used"] == 5
    assert constants["B"] == pytest.approx(1.0, abs=0.3)


def test_a_handful_of_answers_is_calibrated_with_a_warning_or_refused_with_a_reason(
    site: Site,
) -> None:
    content = site.post("/irt/calibrate", {"responses": [[1, 0], [0, 1], [1, 1], [0, 0]]})
    assert content.status_code in {200, 422}
    if content.status_code == 200:
        assert content.json()["fit_meta"]["warnings"]
    nothing = site.post("/irt/calibrate", {"responses": [[1, 1], [1, 1]]})
    assert nothing.status_code == 422
    assert "too little to calibrate" in nothing.json()["detail"]


def test_health_needs_no_token(site: Site) -> None:
    answer = site.ask("GET", "/healthz", who=None)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
