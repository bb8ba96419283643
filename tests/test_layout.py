"""Tests stand where the files stand that they test."""

from __future__ import annotations

from pathlib import Path

import polyvec

SOURCE = Path(polyvec.__file__).parent
TESTS = Path(__file__).parent

# Tests of no single file, and what they are about.
OF_NO_FILE = {
    "test_docstrings.py": "docstrings of public names",
    "test_examples.py": "examples/, beside src/",
    "test_import.py": "imports of the whole package",
    "test_install.py": "extras and exact versions",
    "test_layout.py": "this",
    "test_startup.py": "what each way to start loads",
    "test_nasty_values.py": "every public call and every option",
    "test_readme.py": "the README's code and links",
    "bench/test_anchors.py": "benchmarks/anchors.py and its peers",
    "bench/test_batches.py": "benchmarks/batches.py",
    "bench/test_pictures.py": "docs/benchmarks.md and benchmarks/plots.py",
    "bench/test_bench.py": "machine and audit, through the command too",
    "cli/test_reference.py": "docs/cli.md and the examples of every command",
    "cluster/building/test_on_ray.py": "builds on a Ray cluster of several hosts",
    "cluster/building/test_s3.py": "builds from and into a pretended S3",
    "cluster/test_docs.py": "docs/scale-out.md, with Ray",
    "collection/test_random_calls.py": "an index against a dictionary",
    "collection/test_repair_damage.py": "any damage to any file",
    "collection/test_states.py": "every call in every state",
    "crash/test_crash.py": "processes that end while they write",
    "data/test_documents_generated.py": "generated files of every kind",
    "deploy/test_deploy.py": "deploy/, beside src/",
    "docs/test_manuals.py": "docs/: blocks of the manuals",
    "docs/test_pages.py": "docs/ and the README: every block runs",
    "docs/test_prose.py": "docs/: spelling and sentences",
    "docs/test_reference.py": "docs/reference: generated pages, every public name",
    "docs/test_site.py": "the site that mkdocs builds",
    "docs/test_start.py": "docs/start, followed from a wheel",
    "encoder/native/test_architectures.py": "every backbone and layout, compared with torch",
    "encoder/native/test_damaged_models.py": "damaged and hostile model folders",
    "encoder/native/test_native_encoder.py": "the encoder as a whole",
    "encoder/test_special_tokens.py": "tokenizers of every layout",
    "evaluation/test_collections.py": "what is checked before the work",
    "index/test_damaged_files.py": "damaged files, read by every reader",
    "index/test_readers.py": "readers in other processes while one writes",
    "index/engine/test_threads.py": "the same hits with any number of threads",
    "integrations/haystack/test_pipelines.py": "Haystack's components, alone and in pipelines",
    "integrations/test_examples.py": "examples/rag_*.py",
    "integrations/test_frameworks_page.py": "docs/frameworks.md",
    "native/test_build.py": "compilers that are refused, and the type stub",
    "native/test_sanitized.py": "kernels under the sanitizers",
    "publish/test_azure.py": "publishing and pulling through a pretended Azure",
    "publish/test_cuts.py": "publishing and pulling, cut at every request; publishers at once",
    "publish/test_docs.py": "docs/publishing.md",
    "publish/test_s3.py": "publishing and pulling through a pretended S3",
    "recipes/test_greek_accents.py": "recipes/greek_accents.py",
    "recipes/test_multilingual_e5.py": "recipes/multilingual_e5.py",
    "recipes/test_recipes.py": "recipes/*.toml and their page",
    "recipes/test_vietnamese_marks.py": "recipes/vietnamese_marks.py",
    "release/test_saved_models.py": "saved models of earlier versions",
    "release/test_scripts.py": "scripts/, beside src/",
    "release/test_surface.py": "what users write against",
    "release/test_workflows.py": ".github/, beside src/",
    "serve/page/test_access.py": "serve/page/, looked at by axe-core",
    "serve/page/test_files.py": "serve/page/, as files",
    "serve/page/test_pointing.py": "serve/page/, in a browser: pointing at words",
    "serve/page/test_searching.py": "serve/page/, in a browser: searching",
    "serve/page/test_states.py": "serve/page/, in a browser: states and texts",
    "serve/test_attacks.py": "attacks on the server as a whole",
    "serve/test_contract.py": "the server against its own description",
    "serve/test_overload.py": "the server with more to do than it can",
    "serve/test_docs.py": "docs/serving.md",
    "shards/test_docs.py": "docs/scale-out.md",
    "training/test_commands.py": "train, mine and teach, one after another",
}


def test_tests_mirror_the_sources() -> None:
    paths = [path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py"))]
    astray = []
    for path in paths:
        name = path.name.removeprefix("test_")
        own_file = SOURCE / path.with_name(name)
        own_package = SOURCE / path.with_name(name).with_suffix("") / "__init__.py"
        package_of_folder = SOURCE / path.parent / "__init__.py" if name == f"{path.parent.name}.py" else None
        mirrored = any(one is not None and one.is_file() for one in (own_file, own_package, package_of_folder))
        if not mirrored and str(path) not in OF_NO_FILE:
            astray.append(str(path))
    assert astray == [], "move these beside what they test, or say in OF_NO_FILE what they are about"
    assert OF_NO_FILE.keys() - {str(path) for path in paths} == set(), "there are no such tests any more"
