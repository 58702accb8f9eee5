"""The flags of the command line, as gflags reads them."""

import pytest

from torchcaffe.flags import BadFlag, Flags, parse


@pytest.fixture(autouse=True)
def no_settings_of_glog(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLOG_log_dir", "GLOG_logtostderr"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--solver=s.prototxt", "--iterations=7"],
        ["-solver=s.prototxt", "train", "-iterations", "7"],
        ["--iterations", "7", "--solver", "s.prototxt", "train"],
        ["--logtostderr", "--v=1", "--solver=s.prototxt", "--iterations=7", "--", "train"],
    ],
)
def test_a_flag_has_one_or_two_dashes_an_equals_sign_or_a_space_and_any_place(arguments: list[str]) -> None:
    flags, _, words = parse(arguments)
    assert (flags, words) == (Flags(solver="s.prototxt", iterations=7), ["train"])


def test_without_flags_the_values_are_caffes_defaults() -> None:
    assert parse([]) == (Flags(iterations=50, sigint_effect="stop", sighup_effect="snapshot"), set(), [])


def test_the_value_of_the_last_of_equal_flags_counts_and_may_be_empty() -> None:
    assert parse(["--gpu=1", "--gpu=0"])[0].gpu == "0"
    assert parse(["--gpu=1", "--gpu="])[0].gpu == ""


def test_switches_take_no_value() -> None:
    assert parse(["--help", "--version", "train"])[1:] == ({"help", "version"}, ["train"])
    assert parse(["--logtostderr=1", "--nologtostderr", "--version=false", "train"])[1:] == (set(), ["train"])


def test_numbers_are_decimal_or_hexadecimal() -> None:
    flags = parse(["--iterations=0x1F", "--level", "-007", "--minloglevel=+1"])[0]
    assert (flags.iterations, flags.level, flags.minloglevel) == (31, -7, 1)


def test_the_folder_of_the_log_is_the_environments_unless_a_flag_names_another(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GLOG_log_dir", str(tmp_path))
    assert parse(["train"])[0].log_dir == str(tmp_path)
    assert parse([f"--log_dir={tmp_path}/b"])[0].log_dir == f"{tmp_path}/b"
    assert parse(["--logtostderr", "train"])[0].log_dir == ""
    monkeypatch.setenv("GLOG_logtostderr", "1")
    assert parse(["train"])[0].log_dir == "" and parse(["--nologtostderr"])[0].log_dir == str(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solvr=x"], "unknown command line flag 'solvr'"),
        (["--solver"], "flag '--solver' is missing its argument"),
        (["--iterations=many"], "illegal value 'many' specified for int32 flag 'iterations'"),
        (["--level=2147483648"], "illegal value '2147483648' specified for int32 flag 'level'"),
        (["--level=1_0"], "illegal value '1_0' specified for int32 flag 'level'"),
        (["---level=1"], "unknown command line flag '-level'"),
        (["--alsologtostderr=0"], "flag '--alsologtostderr' cannot be 0: the log always goes to standard error too"),
    ],
)
def test_a_wrong_flag_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(BadFlag) as error:
        parse(arguments)
    assert str(error.value) == message
