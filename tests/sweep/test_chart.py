from medseg.sweep.chart import draw_front, draw_history
from medseg.sweep.study import Trial

TRIALS = [
    Trial(0, "complete", {}, {"dice": 0.7, "tflop": 3.0}),
    Trial(1, "pruned", {}),
    Trial(2, "complete", {}, {"dice": 0.9, "tflop": 5.0}),
    Trial(3, "fail", {}),
    Trial(4, "complete", {}, {"dice": 0.8, "tflop": 1.0}),
]


def test_the_front_has_its_axes_named_with_units_and_its_trials_numbered() -> None:
    (axes,) = draw_front(TRIALS, [TRIALS[2], TRIALS[4]], TRIALS[4]).axes
    assert axes.get_xlabel() == "training, TFLOP"
    assert axes.get_ylabel() == "validation Dice, mean over classes"
    assert {text.get_text() for text in axes.texts} == {"2", "trial 4"}
    (line,) = axes.lines
    assert [list(line.get_xdata()), list(line.get_ydata())] == [[1.0, 5.0], [0.8, 0.9]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["other trials", "Pareto front", "retrained"]


def test_the_history_shows_the_best_so_far_and_how_each_trial_ended() -> None:
    (axes,) = draw_history(TRIALS, TRIALS[2]).axes
    best = axes.lines[0]
    assert [list(best.get_xdata()), list(best.get_ydata())] == [[0, 2, 4, 4], [0.7, 0.9, 0.9, 0.9]]
    ends = {line.get_label(): list(line.get_xdata()) for line in axes.lines[1:]}
    assert ends == {"pruned, no score": [1], "fail, no score": [3]}
    assert [text.get_text() for text in axes.texts] == ["trial 2"]
