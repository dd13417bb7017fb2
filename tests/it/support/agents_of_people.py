"""Prints the user agents of people's browsers that the package device-detector is tested with, one a line."""

import pathlib

import device_detector
import yaml

fixtures = pathlib.Path(device_detector.__file__).parent / "tests" / "fixtures" / "upstream"
loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
agents = set()
for file in sorted(fixtures.glob("*.yml")):
    if file.stem == "bots":
        continue
    for sample in yaml.load(file.read_text(encoding="utf-8"), Loader=loader):
        client = sample.get("client")
        # Players, feed readers and HTTP libraries of its list are not what people follow links with.
        if isinstance(client, dict) and client.get("type") == "browser":
            agents.add(" ".join(sample["user_agent"].split()))
print("\n".join(sorted(agents)))
