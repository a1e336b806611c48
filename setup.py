"""Packaging: everything that varies is read from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="])
parser.read("settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

setup(
    name=settings["lib_name"], version=settings["version"], license="Apache-2.0",
    description=settings["description"], keywords=settings["keywords"].split(), author=settings["author"],
    author_email=settings["author_email"], url=settings["git_url"],
    long_description=Path("README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    packages=find_packages(include=["yelp_tl", "yelp_tl.*"]), include_package_data=True,
    python_requires=f">={settings['min_python']},<3.14", install_requires=settings["requirements"].split(),
    extras_require={extra: settings[f"{extra}_requirements"].split()
                    for extra in ("offline", "evidence", "course", "dev")},
    entry_points={"console_scripts": settings["console_scripts"].split(), "nbdev": ["yelp_tl=yelp_tl._modidx:d"]},
)
