"""Controls of methods of ``unittest.TestCase``, and of tests whose end nobody can judge."""

from __future__ import annotations

import re

from plugin_tools import counts, run

METHODS = """
import unittest

class Base(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _lab(self, lab):
        self.lab = lab

    def ping(self):
        return self.lab["a"].ping("172.18.1.3", timeout=0.3)

REASON = "received=0|is not true"
broken = pytest.mark.control("b is in VNI 43", vteps={"b": {"id": 43}}, because=REASON)

@pytest.mark.topology(catalog.point_to_point())
class TestRed(Base):
    @broken
    def test_red_by_assert(self):
        assert self.ping()

    @broken
    def test_red_by_unittest(self):
        self.assertTrue(self.ping())

    @broken
    def test_red_in_a_subtest(self):
        with self.subTest("one"):
            pass
        with self.subTest("two"):
            self.assertTrue(self.ping())

    @broken
    @unittest.skip("not today")
    def test_skipped(self):
        pass

    @broken
    def test_skipping(self):
        self.skipTest("not now")

    def test_without(self):
        pass

@pytest.mark.topology(catalog.point_to_point())
class TestAsync(unittest.IsolatedAsyncioTestCase):
    _lab = Base._lab
    ping = Base.ping

    @broken
    async def test_red_asynchronous(self):
        assert self.ping()

    @broken
    async def test_green_asynchronous(self):
        self.ping()

@pytest.mark.topology(catalog.point_to_point())
class TestWrong(Base):
    @broken
    def test_green(self):
        self.ping()

    @broken
    def test_broken(self):
        self.ping()
        raise KeyError("of the test itself")

    @pytest.mark.control("b is in VNI 43", vteps={"b": {"id": 43}}, because="another thing")
    def test_another_reason(self):
        assert self.ping()

    @broken
    @unittest.expectedFailure
    def test_expected(self):
        assert self.ping()

    @pytest.mark.control("another number", arguments={"number": 2})
    def test_arguments(self):
        pass
"""


def outcomes(text: str) -> dict[str, str]:
    found = re.findall(r"^test_it\.py::\w+::(\w+) ([A-Z]+)", text, re.MULTILINE)
    return dict(found)


def test_a_method_of_unittest_passes_by_turning_red(project):
    done = run(project, METHODS, "--vxlab-controls")
    assert outcomes(done.stdout) == {
        "test_red_by_assert": "PASSED",
        "test_red_by_unittest": "PASSED",
        "test_red_in_a_subtest": "PASSED",
        "test_skipped": "SKIPPED",
        "test_skipping": "SKIPPED",
        "test_red_asynchronous": "PASSED",
        "test_green_asynchronous": "FAILED",
        "test_green": "FAILED",
        "test_broken": "FAILED",
        "test_another_reason": "FAILED",
        "test_expected": "ERROR",
        "test_arguments": "ERROR",
    }, done.stdout
    for sentence, times in {
        "the scenario stayed green although b is in VNI 43": 2,
        "the test broke, it did not notice that b is in VNI 43:": 1,
        "the scenario turned red, but for another reason than that b is in VNI 43:": 1,
        "wanted a scenario that passes without its control, found @unittest.expectedFailure": 1,
        "wanted a test with arguments, found a method of unittest.TestCase, which has none": 1,
    }.items():
        assert len(re.findall(f"^E? *.*{re.escape(sentence)}", done.stdout, re.M)) >= times
    assert "test_without" not in done.stdout


def test_without_controls_unittest_runs_it_as_ever(project):
    done = run(project, METHODS)
    found = outcomes(done.stdout)
    assert found["test_red_in_a_subtest"] == found["test_red_by_assert"] == "PASSED"
    assert found["test_green"] == found["test_red_asynchronous"] == "PASSED"
    assert found["test_expected"] == "FAILED"  # an unexpected success
    assert "control" not in done.stdout.partition("short test summary")[0].partition("ERRORS")[2]


COLLECTOR = """
import pytest

class Item(pytest.Item):
    def runtest(self):
        pass

class File(pytest.File):
    def collect(self):
        item = Item.from_parent(self, name="item")
        item.add_marker(pytest.mark.control("nothing works", lab=lambda lab: None))
        return [item]

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".scenario":
        return File.from_parent(parent, path=file_path)
"""


def test_a_test_whose_end_cannot_be_judged_is_refused(project):
    project.write("conftest.py", "import vxlab\n" + COLLECTOR)
    project.write("a.scenario", "")
    done = run(project, "", "--vxlab-controls")
    assert counts(done) == {"error": 1}
    assert (
        "wanted a function or a method, found one of the type Item, whose end vxlab cannot"
        in done.stdout
    )
