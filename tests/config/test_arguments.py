import random
from pathlib import Path

import pytest

from medseg.commands.benchmark import BenchmarkConfig
from medseg.commands.check_data import CheckDataConfig
from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import Section, leaf_fields, parse_args, to_yaml
from medseg.errors import ConfigError
from tests.support.config_sections import Job, Optim, write

ROOT = Path(__file__).parents[2]


def problems_of(*arguments):
    with pytest.raises(ConfigError) as caught:
        parse_args(Job, arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_then_files_then_overrides(tmp_path):
    first = write(tmp_path / "first.yaml", "seed: 1\nsteps: 2\noptim: {rate: 3e-4, kind: sgd}\n")
    second = write(tmp_path / "second.yaml", "steps: 3\noptim:\n  note: hello\n")
    job = parse_args(Job, [first, second, "optim.kind=adam", "steps=4", "steps=5"])
    assert job == Job(seed=1, steps=5, optim=Optim(rate=3e-4, kind="adam", note="hello"))


def test_empty_section_and_empty_file_are_defaults(tmp_path):
    assert parse_args(Job, [write(tmp_path / "a.yaml", "data:\noptim: # nothing yet\n")]) == Job()
    assert parse_args(Job, [write(tmp_path / "b.yaml", "")]) == Job()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("optim.rate=3e-4", 3e-4),
        ("optim.rate=1", 1.0),
        ("optim.note=007", "007"),
        ("optim.note=3e-4", "3e-4"),
        ("optim.note=a=b", "a=b"),
        ("optim.note=a: {b} [c] #d * & ! % @ `", "a: {b} [c] #d * & ! % @ `"),
        ("optim.note=[a, b]", "[a, b]"),
        ("optim.note=${oc.env:HOME}", "${oc.env:HOME}"),
        ("optim.note=true", "true"),
        ("optim.note=2020-01-01", "2020-01-01"),
        ("optim.note=null", None),
        ("optim.note= padded ", " padded "),
        ("optim.resume=true", True),
        ("optim.resume=last.pt", Path("last.pt")),
        ("optim.resume=007", Path("007")),
        ("optim.threshold=best", "best"),
        ("optim.threshold=0.25", 0.25),
        ("optim.kind=sgd", "sgd"),
        ("data.classes=[a,b]", ("a", "b")),
        ("data.classes=null", None),
        ("data.folds=5", 5),
        ("data.share=[.25, 0.75]", (0.25, 0.75)),
        ("data={folds: 3}", 3),
    ],
)
def test_override_becomes_what_its_key_takes(argument, value):
    key = argument.partition("=")[0]
    flat = dict(
        leaf for section in ("data", "optim") for leaf in vars(getattr(parse_args(Job, [argument]), section)).items()
    )
    found = flat[key.partition(".")[2] or "folds"]
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize("name", ["a b", "a=b", "[a]", "{a}", "a: b", "a #b", "*a", "007", "null?", "é", "3e-4", "-x"])
def test_any_folder_can_be_a_root(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert parse_args(Job, [f"data.root={name}"]).data.root == Path(name)


def test_file_whose_path_has_an_equals_sign(tmp_path):
    (tmp_path / "rate=3").mkdir()
    assert parse_args(Job, [write(tmp_path / "rate=3" / "a.yaml", "seed: 9")]).seed == 9


def test_all_problems_at_once(tmp_path):
    bad = write(tmp_path / "bad.yaml", "data:\n  rooot: x\noptim: 3\n")
    message = problems_of(
        bad, "none.yaml", "--fast", "data.root=/no/such", "optim.rte=1", "rate=1", "steps=x", "seed.x=1", "data=3"
    )
    recipes = "the recipes are article_darken, article_xray, chest_xray, paper_2015, start_weights, sweep, train_xray"
    assert message.splitlines()[0] == "configuration: 10 problems"
    assert set(message.splitlines()[1:]) == {
        f"  - none.yaml: no such file and no such recipe; {recipes}",
        "  - unknown option '--fast'; arguments are [RECIPE] [section.key=value ...]",
        "  - unknown key 'optim.rte'; did you mean 'optim.rate'?",
        "  - unknown key 'rate'; did you mean 'optim.rate'?",
        "  - unknown key 'seed.x'; did you mean 'seed'?",
        "  - data: '3' is not a section of settings. Write data.KEY=VALUE",
        "  - steps: 'x' should be a valid integer, unable to parse string as an integer",
        "  - data.root: /no/such: no such file or folder",
        "  - unknown key 'data.rooot'; did you mean 'data.root'?",
        "  - optim: 3 is not a section of settings. Write optim.KEY=VALUE",
    }


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("optim.rte=1", "unknown key 'optim.rte'; did you mean 'optim.rate'?"),
        ("rate=1", "unknown key 'rate'; did you mean 'optim.rate'?"),
        ("data.rate=1", "unknown key 'data.rate'; did you mean 'optim.rate'?"),
        ("qqq=1", "unknown key 'qqq'. --help lists all keys"),
        ("dta.root=1", "unknown key 'dta.root'; did you mean 'data.root'?"),
        ("data.root", "data.root: has no value; write data.root=VALUE"),
        ("data.classes=7", "data.classes: 7 should be a list in brackets, such as 'data.classes=[A, B]'"),
        ("=1", "unknown key ''. --help lists all keys"),
        ("data..root=1", "unknown key 'data..root'; did you mean 'data.root'?"),
        ("data.root.x=1", "unknown key 'data.root.x'; did you mean 'data.root'?"),
        ("data.share[0]=1", "unknown key 'data.share[0]'; did you mean 'data.share'?"),
        ("data=3", "data: '3' is not a section of settings. Write data.KEY=VALUE"),
        ("data.folds=1", "data.folds: 1 should be greater than or equal to 2"),
        ("optim.threshold=2", "optim.threshold: '2' should be less than 1 or 'best'"),
        ("optim.kind=yes", "optim.kind: 'yes' should be 'adam' or 'sgd'"),
        ("optim.rate=nan", "optim.rate: 'nan' should be a finite number"),
        ("data.classes=[a,B]", "data.classes: B: String should match pattern '^[a-z0-9]+$'"),
        ("data.root=/no/such", "data.root: /no/such: no such file or folder"),
        ("data.root=" + "a" * 5000, "data.root: " + "a" * 5000 + ": cannot be read (File name too long)"),
        ("optim.note=\udcff", "'optim.note=\\udcff': not UTF-8 text"),
    ],
)
def test_problem_names_key_value_and_remedy(argument, said):
    assert problems_of(argument) == f"configuration: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2\n", ", line 2: found duplicate key seed"),
        ("data: {root: x\n", ", line 2: did not find expected ',' or '}'"),
        ("seed: 1\n\tsteps: 2", ", line 2: "),
        ("- seed\n", ": does not hold sections of settings"),
        ("12", ": does not hold sections of settings"),
        ("seed", ": does not hold sections of settings"),
        ("[a]: 1\n", ", line 1: found unhashable key"),
        ("seed: 1\n---\nseed: 2\n", ", line 2: but found another document"),
        ("data: &a {root: *a}\n", ", line 1: more than 10000 values, or more than 100 levels"),
        ("a: &a [1, 2]\nb: &b [*a, *a]\nc: [" + "*b, " * 2000 + "]", ", line 1: more than 10000 values"),
        ("data: {root: !!python/object/apply:pathlib.Path [x]}\n", ", line 1: could not determine a constructor"),
        ("seed: !!bool x\n", ": 'x'"),
        (b"seed: \xff\n", ": not UTF-8 text (invalid start byte at byte 6)"),
        ("a: !!python/object/apply:os.system [id]\n", ", line 1: could not determine a constructor"),
        ('optim: {note: "\\ud800"}', ", line 1: found invalid Unicode character escape code"),
    ],
)
def test_problem_of_a_file_names_file_and_line(tmp_path, text, said):
    assert f"{tmp_path / 'bad.yaml'}{said}" in problems_of(write(tmp_path / "bad.yaml", text))


def test_folder_in_place_of_a_file(tmp_path):
    assert f"{tmp_path}: Is a directory" in problems_of(str(tmp_path))


def test_interpolations_read_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "found")
    path = write(tmp_path / "a.yaml", "seed: 4\noptim: {note: '${oc.env:SECRET} ${seed}'}\n")
    assert parse_args(Job, [path]).optim.note == "${oc.env:SECRET} ${seed}"


class Look(Section):
    """A look at what `Job` would read."""

    recipe = Job

    class OwnData(Section):
        """What is looked at."""

        root: Path | None = None
        """Where the data lie."""

    seed: int = 0
    """Decides all."""

    data: OwnData = OwnData()


def test_what_only_the_other_job_has_is_skipped_in_a_file(tmp_path):
    path = write(tmp_path / "job.yaml", "seed: 3\nsteps: 5\ndata: {root: here, folds: 4}\noptim: {rate: 1}\n")
    assert parse_args(Look, [path]) == Look(seed=3, data=Look.OwnData(root=Path("here")))
    assert parse_args(Look, [write(tmp_path / "empty.yaml", "optim:\ndata: {folds: 2}\n")]) == Look()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim: {rte: 1, kind: sgd}", "unknown key 'optim.rte'; did you mean 'optim.rate'?"),
        ("data: {folds: 4, rot: x}", "unknown key 'data.rot'; did you mean 'data.root'?"),
        ("optima: {rate: 1}", "unknown key 'optima'"),
        ("optim: 3", "unknown key 'optim'"),
    ],
)
def test_typos_are_found_in_what_is_skipped(tmp_path, text, expected):
    with pytest.raises(ConfigError) as caught:
        parse_args(Look, [write(tmp_path / "job.yaml", text)])
    assert str(caught.value).startswith(f"configuration: {expected}")


def test_file_may_hold_a_section_whose_name_is_a_setting_here(tmp_path):
    class Use(Section):
        recipe = Job
        optim: str
        """A file."""

    path = write(tmp_path / "job.yaml", "steps: 5\noptim: {rate: 1}\n")
    assert parse_args(Use, [path, "optim=best.pt"]) == Use(optim="best.pt")
    assert parse_args(Use, [write(tmp_path / "own.yaml", "optim: best.pt")]) == Use(optim="best.pt")
    with pytest.raises(ConfigError, match=r"unknown key 'optim\.rte'; did you mean 'optim\.rate'\?"):
        parse_args(Use, [write(tmp_path / "job.yaml", "optim: {rte: 1}\n"), "optim=best.pt"])


@pytest.mark.parametrize("config", [CheckDataConfig, BenchmarkConfig])
def test_a_check_and_a_benchmark_take_a_recipe_of_training(tmp_path, config):
    needed = {"data.root": tmp_path, "input.dir": tmp_path, "model": "best.pt"}
    given = [f"{key}={needed[key]}" for key, field, _ in leaf_fields(config) if field.is_required()]
    assert parse_args(config, [str(ROOT / "configs" / "chest_xray.yaml"), *given])
    with pytest.raises(ConfigError, match=r"unknown key 'optim\.learning_rat'; did you mean 'optim\.learning_rate'\?"):
        parse_args(config, [write(tmp_path / "typo.yaml", "optim: {learning_rat: 1}"), *given])


def test_dotted_key_in_a_file_is_the_key_of_the_command_line(tmp_path):
    assert parse_args(Job, [write(tmp_path / "a.yaml", "optim.rate: 3\n")]).optim.rate == 3


def test_maps_of_several_arguments_are_merged(tmp_path):
    class Labels(Section):
        values: dict[str, int] | None = None
        """Values."""

    path = write(tmp_path / "a.yaml", "values: {a: 1, b: 2}\n")
    assert parse_args(Labels, [path, "values={b: 3, c: 4}"]).values == {"a": 1, "b": 3, "c": 4}


def test_section_that_is_none_is_named_though_a_setting_follows(tmp_path):
    path = write(tmp_path / "a.yaml", "optim: 3\n")
    assert (
        problems_of(path, "optim.rate=1")
        == "configuration: optim: 3 is not a section of settings. Write optim.KEY=VALUE"
    )


@pytest.mark.parametrize("key", ["steps", "data.folds", "optim.rate"])
def test_what_a_file_may_hold_stays_unknown_on_the_command_line(key):
    with pytest.raises(ConfigError, match=f"unknown key '{key}'"):
        parse_args(Look, [f"{key}=1"])


def test_any_text_ends_in_a_configuration_or_in_a_problem(tmp_path):
    rng = random.Random(5)
    words = """data optim seed . = : root note ${ } [ ] { * & !!int ' " # - null 1e9 0b_ é ??? true ~ << ? | \\"""
    pieces = [*words.split(" "), "\n", " ", "\x00", "\udcff", "1" * 20]
    path = tmp_path / "fuzz.yaml"
    for _ in range(400):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 9)))
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        key = rng.choice(
            ["data.root", "optim.note", "optim.threshold", "data.share", "data.classes", "data", "seed", ""]
        )
        for arguments in ([text], [f"{key}={text}"], [str(path)], [str(path), f"{key}={text}"]):
            try:
                job = parse_args(Job, arguments)
            except ConfigError:
                continue
            except SystemExit:
                assert text in ("-h", "--help")
                continue
            path.write_text(to_yaml(job))
            assert parse_args(Job, [str(path)]) == job
            path.write_bytes(text.encode("utf-8", "surrogatepass"))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 20_000, "{a: " * 5_000, "1" * 5_000, "- " * 5_000])
def test_monstrous_text(tmp_path, text):
    assert problems_of(write(tmp_path / "a.yaml", text))
    assert parse_args(Job, [f"optim.note={text}"]).optim.note == text
    assert problems_of(f"data.folds={text}")


def test_a_section_of_before_is_read_as_the_present_one(tmp_path):
    assert parse_args(TrainXrayConfig, [write(tmp_path / "empty.yaml", "inference:\n")]) == TrainXrayConfig()
    with pytest.raises(ConfigError, match=r"predict: 3 is not a section of settings\. Write predict\.KEY=VALUE"):
        parse_args(TrainXrayConfig, [write(tmp_path / "b.yaml", "inference: {fill_holes: true}\npredict: 3\n")])
    path = write(tmp_path / "a.yaml", "inference: {tta: [mirror], fill_holes: true}\npredict: {fill_holes: false}\n")
    predict = parse_args(TrainXrayConfig, [path]).predict
    assert (predict.tta, predict.fill_holes) == (("mirror",), False)
    with pytest.raises(ConfigError, match=r"unknown key 'inference\.tta'; did you mean 'predict\.tta'\?"):
        parse_args(TrainXrayConfig, [path, "inference.tta=[mirror]"])


def test_an_empty_mapping_clears_what_a_recipe_gives(tmp_path):
    recipe = write(tmp_path / "a.yaml", "predict: {components: {lungs: 2, heart: 1}}\n")

    def components(*more):
        return parse_args(TrainXrayConfig, [recipe, *more]).predict.components

    assert components() == {"lungs": 2, "heart": 1}
    assert components("predict.components={lungs: 1}") == {"lungs": 1, "heart": 1}
    assert components("predict.components={}") == {}
