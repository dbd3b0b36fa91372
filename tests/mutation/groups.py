"""Which pure modules are altered, and which tests must see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Modules that decide something without a server or a process, and the fast tests over them.

    Attributes:
        modules: files or folders to alter, relative to the root.
        tests: files or folders of tests; each slip is shown only to those among them that run the altered function.
        without: files of the folders in ``modules`` that are left as they are, and why.
        other_tests: files of the folders in ``tests``, or single tests (``file::test``), that see a slip no sooner than
            the others do, and take long.
        every: one slip in so many is tried.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    other_tests: tuple[str, ...] = ()
    every: int = 1


GROUPS = {
    "order": Group(
        ("pipeline/data/order.py", "pipeline/data/batches.py", "pipeline/workers.py"),
        (
            "tests/pipeline/data/test_order.py",
            "tests/pipeline/data/test_batches.py",
            "tests/pipeline/data/test_mixture.py",
            "tests/pipeline/test_workers.py",
        ),
    ),
    "mixture": Group(
        ("pipeline/data/mixture.py",),
        ("tests/pipeline/data/test_mixture.py", "tests/pipeline/data/test_stream.py"),
    ),
    "digests": Group(
        ("pipeline/registry/sealed.py", "pipeline/config/fingerprint.py"),
        (
            "tests/pipeline/registry/test_sealed.py",
            "tests/pipeline/registry/test_sealed_limits.py",
            "tests/pipeline/config/test_fingerprint.py",
        ),
    ),
    "plans and manifests": Group(
        ("pipeline/scoring/plan.py", "pipeline/scoring/protocol.py", "pipeline/data/manifest.py"),
        (
            "tests/pipeline/scoring/test_plan.py",
            "tests/pipeline/scoring/test_protocol.py",
            "tests/pipeline/evaluation/test_measure.py",
            "tests/pipeline/data/test_manifest.py",
            "tests/pipeline/data/test_manifest_rows.py",
        ),
    ),
    "tasks": Group(
        ("pipeline/tasks",),
        ("tests/pipeline/tasks",),
        every=2,
    ),
    "degradations": Group(
        ("pipeline/degradations",),
        ("tests/pipeline/degradations",),
        # Readers of files, one of them as a process of its own that no slip reaches: tested through their files.
        without=("pipeline/degradations/kernel_file.py", "pipeline/degradations/matlab_file.py"),
        other_tests=("tests/pipeline/degradations/test_kernel_file.py",),
        every=2,
    ),
    "metrics": Group(
        ("pipeline/metrics",),
        ("tests/pipeline/metrics",),
        without=("pipeline/metrics/features.py",),  # fetches and checks weight files
    ),
    "promotion and card": Group(
        ("pipeline/registry/promotion.py", "pipeline/registry/card.py"),
        (
            "tests/pipeline/registry/test_promotion.py",
            "tests/pipeline/registry/test_promotion_histories.py",
            "tests/pipeline/registry/test_card.py",
        ),
    ),
    "rollback and harm": Group(
        ("pipeline/registry/rollback.py", "pipeline/registry/harm_tag.py", "pipeline/scoring/harm.py"),
        (
            "tests/pipeline/registry/test_promotion.py",
            "tests/pipeline/registry/test_promotion_histories.py",
            "tests/pipeline/registry/test_harm_tag.py",
            "tests/pipeline/registry/test_rollback.py",
            "tests/pipeline/scoring/test_harm.py",
        ),
    ),
    "schedules and losses": Group(
        (
            "pipeline/training/schedule.py",
            "pipeline/training/phases.py",
            "pipeline/training/losses.py",
            "pipeline/training/perceptual.py",
            "pipeline/training/deepspeed_config.py",
        ),
        (
            "tests/pipeline/training/test_schedule.py",
            "tests/pipeline/training/test_phases.py",
            "tests/pipeline/training/test_losses.py",
            "tests/pipeline/training/test_deepspeed_config.py",
        ),
        other_tests=(  # whole trainings of two workers
            "tests/pipeline/training/test_phases.py::test_changing_batch_sizes_match_plain_pytorch",
        ),
    ),
    "configuration": Group(
        ("pipeline/config",),
        ("tests/pipeline/config", "tests/pipeline/tasks/test_settings.py"),
        without=("pipeline/config/fingerprint.py",),  # among the digests
    ),
    "semanir": Group(
        ("semanir",),
        ("tests/semanir",),
        # Kernels are compared with the readable reference, on a GPU and in Triton's interpreter; operators are
        # registered while modules are imported, before any slip.
        without=("semanir/ops/attention/triton/*", "semanir/export/*", "semanir/ops/opaque.py"),
        other_tests=(
            "tests/semanir/export",
            "tests/semanir/ops/test_triton_interpreted.py",
            "tests/semanir/ops/test_triton_compiled.py",
            "tests/semanir/test_compile.py",
        ),
        every=4,
    ),
    "semanir's export": Group(("semanir/export",), ("tests/semanir/export",), every=8),
}
