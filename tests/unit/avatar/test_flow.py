"""The noise path: worked numbers, and an exact predictor samples exactly."""

from __future__ import annotations

import pytest
import torch

from components.avatar.scheduler.flow import FlowMatching


def test_shift_by_hand():
    flow = FlowMatching(shift=3.0)
    torch.testing.assert_close(flow.shifted(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.75, 1.0]))
    assert flow.times(2).tolist() == [1.0, 0.75, 0.0]


def test_weight_by_hand():
    weight = FlowMatching(weight_cap=1.5).weight(torch.tensor([1.0, 0.9, 0.5, 0.0]))
    torch.testing.assert_close(weight, torch.tensor([1.0, 1 / 0.81, 1.5, 1.5]))


@pytest.mark.parametrize("prediction", ["x0", "velocity"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_perfect_network_is_sampled_exactly(prediction, steps):
    torch.manual_seed(0)
    flow = FlowMatching(prediction=prediction)
    x0, noise = torch.randn(2, 3), torch.randn(2, 3)
    x, times = noise.clone(), flow.times(steps)
    for now, after in zip(times[:-1], times[1:], strict=True):
        torch.testing.assert_close(x, flow.add_noise(x0, noise, now))
        output = x0 if prediction == "x0" else noise - x0
        x = flow.step(x, flow.to_x0(output, x, now), now, after)
    torch.testing.assert_close(x, x0, atol=1e-5, rtol=1e-5)


def test_preconditioning_by_hand():
    flow = FlowMatching(prediction="preconditioned")
    x_t, t, spread = torch.tensor([2.0]), torch.tensor(0.5), torch.tensor([2.0])
    # signal (1-t)s = 1, variance 1 + 0.25: skip 1·2/1.25 = 1.6, scale 0.5·2/√1.25
    made = flow.to_x0(torch.tensor([1.0]), x_t, t, spread)
    torch.testing.assert_close(made, torch.tensor([3.2 + 1 / 1.25**0.5]))
    torch.testing.assert_close(flow.to_input(x_t, t, spread), torch.tensor([3.2]))
    assert float(flow.to_input(x_t, torch.tensor(1.0), spread)) == 0, "pure noise says nothing"
    assert FlowMatching(prediction="velocity").to_input(x_t, t, spread) is x_t


def test_preconditioning_asks_the_network_for_unit_variance():
    generator = torch.Generator().manual_seed(0)
    flow, spread = FlowMatching(prediction="preconditioned"), 0.3
    x0 = spread * torch.randn(200_000, generator=generator)
    noise = torch.randn(200_000, generator=generator)
    for time in (0.1, 0.5, 0.9, 1.0):
        t = torch.tensor(time)
        x_t = flow.add_noise(x0, noise, t)
        linear = flow.to_x0(torch.zeros_like(x0), x_t, t, spread)
        scale = flow.to_x0(torch.ones_like(x0), x_t, t, spread) - linear
        wanted = (x0 - linear) / scale
        assert abs(float(wanted.std()) - 1) < 0.01, "what is left open has unit variance"
        assert abs(float((wanted * x_t).mean())) < 0.01, "and is not to be had from x_t linearly"


@pytest.mark.parametrize("wrong", [{"shift": 0}, {"weight_cap": -1}, {"prediction": "noise"}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="make sense"):
        FlowMatching(**wrong)
    with pytest.raises(ValueError, match="steps"):
        FlowMatching().times(0)


def test_round_trip(tmp_path):
    FlowMatching(shift=5.0, prediction="velocity").save_pretrained(tmp_path)
    assert FlowMatching.from_pretrained(tmp_path).config.shift == 5.0
