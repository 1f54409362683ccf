"""The known names are torchvision's, and a wrong one gets a suggestion."""

import pytest
import torchvision

from classifier.architectures import ALIASES, ARCHITECTURES, canonical


def test_the_list_equals_torchvisions() -> None:
    theirs = torchvision.models.list_models(module=torchvision.models)
    assert sorted(ARCHITECTURES) == sorted(theirs)


def test_every_alias_is_the_name_of_a_network() -> None:
    assert all(canonical(alias) in ARCHITECTURES for alias in ALIASES)


def test_a_wrong_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"unknown architecture 'resnet5'.*resnet50"):
        canonical("resnet5")


def test_a_name_like_no_other_gets_a_default_suggestion() -> None:
    with pytest.raises(ValueError, match="try resnet50"):
        canonical("!!!!")
