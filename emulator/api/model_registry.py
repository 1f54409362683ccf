"""The model registry in the API: groups of model packages, their versions, and single packages.

The registry runs nothing: it stores what it is given, and describes it.
"""

from emulator.api.listing import Listing, summaries
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import Conflict, Invalid
from emulator.resources import PACKAGE, PACKAGE_GROUP

_LISTING = Listing(descending=False)
# Members of UpdateModelPackage that change others.
_CHANGES = (
    "ModelPackageArn",
    "ClientToken",
    "CustomerMetadataProperties",
    "CustomerMetadataPropertiesToRemove",
    "AdditionalInferenceSpecificationsToAdd",
)
_MOST_METADATA = 50  # as the API's model has it for a request


class ModelRegistry:
    """The operations on model packages and their groups."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateModelPackageGroup": self.create_group,
            "DescribeModelPackageGroup": self.describe_group,
            "ListModelPackageGroups": self.list_groups,
            "DeleteModelPackageGroup": self.delete_group,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "ListModelPackages": self.list_packages,
            "UpdateModelPackage": self.update,
            "DeleteModelPackage": self.delete,
        }

    def create_group(self, request: Record) -> Record:
        """Make a group, without versions."""
        status = {"ModelPackageGroupStatus": "Completed", "CreatedBy": {}}
        return self._context.create(PACKAGE_GROUP, request | status)

    def describe_group(self, request: Record) -> Record:
        """Return a group."""
        return self._context.require(PACKAGE_GROUP, _last(request["ModelPackageGroupName"]))

    def list_groups(self, request: Record) -> Record:
        """Return summaries of groups, oldest first by default."""
        groups = self._context.records.all(PACKAGE_GROUP)
        if request.get("CrossAccountFilterOption") == "CrossAccount":
            groups = []  # there are no other accounts
        return summaries(PACKAGE_GROUP, groups, request, _LISTING)

    def delete_group(self, request: Record) -> Record:
        """Delete a group.

        Raises:
            Conflict: it has versions.
        """
        group = self.describe_group(request)
        name = group["ModelPackageGroupName"]
        if self._versions(name):
            raise Conflict(
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted because it "
                "still has Model Packages"
            )
        self._context.records.remove(PACKAGE_GROUP, name)
        return {}

    def create(self, request: Record) -> Record:
        """Make the next version of a group, or a package without versions.

        Repeating a ClientToken returns the same package.

        Raises:
            Invalid: no such group; a name for both or for none.
            Conflict: the name is taken.
        """
        if ("ModelPackageName" in request) == ("ModelPackageGroupName" in request):
            raise Invalid("Give either ModelPackageName or ModelPackageGroupName")
        for package in self._context.records.all(PACKAGE):
            if "ClientToken" in request and package.get("ClientToken") == request["ClientToken"]:
                return {"ModelPackageArn": package["ModelPackageArn"]}
        record: Record = {"CertifyForMarketplace": False} | request
        if "ModelPackageGroupName" in request:
            record |= self._next_version(request)
        else:
            record["_name"] = request["ModelPackageName"]
            if "ModelApprovalStatus" in request:
                raise Invalid("ModelApprovalStatus is for versions of a model package group only")
        arn = self._context.arn(PACKAGE, record["_name"])
        record |= {
            "ModelPackageArn": arn,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "CreatedBy": {},
        }
        if not self._context.records.add(PACKAGE, record["_name"], record):
            error, message = PACKAGE.taken
            raise error(message.format(arn=arn))
        return {"ModelPackageArn": arn}

    def describe(self, request: Record) -> Record:
        """Return a package, by name or ARN."""
        return find(self._context, request["ModelPackageName"])

    def list_packages(self, request: Record) -> Record:
        """Return summaries: of a group's versions, or of packages of one type."""
        packages = self._context.records.all(PACKAGE)
        kind = request.get("ModelPackageType", "Unversioned")
        if "ModelPackageGroupName" in request:
            packages = self._versions(_last(request["ModelPackageGroupName"]))
        elif kind != "Both":
            packages = [
                package
                for package in packages
                if ("ModelPackageVersion" in package) == (kind == "Versioned")
            ]
        if wanted := request.get("ModelApprovalStatus"):
            packages = [one for one in packages if one.get("ModelApprovalStatus") == wanted]
        return summaries(PACKAGE, packages, request, _LISTING, name_key="_name")

    def update(self, request: Record) -> Record:
        """Change a package.

        Raises:
            Invalid: no such package; too many properties, or no version to approve.
        """
        package = find(self._context, request["ModelPackageArn"])
        if "ModelApprovalStatus" in request and "ModelPackageVersion" not in package:
            raise Invalid("ModelApprovalStatus is for versions of a model package group only")
        properties = package.get("CustomerMetadataProperties") or {}
        properties |= request.get("CustomerMetadataProperties", {})
        for key in request.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        if len(properties) > _MOST_METADATA:
            raise Invalid(f"A package has at most {_MOST_METADATA} CustomerMetadataProperties")
        specifications = [
            *(package.get("AdditionalInferenceSpecifications") or []),
            *request.get("AdditionalInferenceSpecificationsToAdd", []),
        ]
        changes = {key: value for key, value in request.items() if key not in _CHANGES}
        changes |= {"LastModifiedBy": {}, "_modified": now()}
        # The API has no empty map or list here.
        changes["CustomerMetadataProperties"] = properties or None
        changes["AdditionalInferenceSpecifications"] = specifications or None
        self._context.records.update(PACKAGE, package["_name"], **changes)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def delete(self, request: Record) -> Record:
        """Delete a package; a version's number is not used again."""
        self._context.records.remove(
            PACKAGE, find(self._context, request["ModelPackageName"])["_name"]
        )
        return {}

    def _versions(self, group: str) -> list[Record]:
        packages = self._context.records.all(PACKAGE)
        return [one for one in packages if one.get("ModelPackageGroupName") == group]

    def _next_version(self, request: Record) -> Record:
        """Return what is a version's own, and count it.

        Raises:
            Invalid: no such group, or the version has tags.
        """
        name = self.describe_group(request)["ModelPackageGroupName"]
        if request.get("Tags"):
            raise Invalid("Tags: a version has the tags of its group: tag the group instead")
        with self._context.records.change(PACKAGE_GROUP, name) as group:
            number = group["_last"] = group.get("_last", 0) + 1
        return {
            "ModelPackageGroupName": name,
            "ModelPackageName": name,  # as the shapes of the answers require one
            "ModelPackageVersion": number,
            "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
            "_name": f"{name}/{number}",
        }


def _last(name: str) -> str:
    """Return a group's name, which can be given as its ARN."""
    return name.rpartition("/")[2]


def find(context: Context, name: str) -> Record:
    """Return a package, by name or ARN; its last modification is an update's.

    Raises:
        Invalid: no such package.
    """
    if ":model-package/" in name:
        packages = context.records.all(PACKAGE)
        found = next((one for one in packages if one["ModelPackageArn"] == name), None)
        if found is None:
            raise Invalid(f"ModelPackage {name} does not exist.")
    else:
        found = context.require(PACKAGE, name)
    found["LastModifiedTime"] = found.get("_modified")
    return found


def container(context: Context, given: Record) -> Record:
    """Return the container of a new model, with what its model package has for it.

    Raises:
        Invalid: no such package; it is not approved, or has no container or several.
    """
    if "ModelPackageName" not in given:
        return given
    package = find(context, given["ModelPackageName"])
    arn = package["ModelPackageArn"]
    if both := sorted({"Image", "ModelDataUrl", "ModelDataSource"} & set(given)):
        raise Invalid(f"{' and '.join(both)} must not be set with ModelPackageName")
    if package.get("ModelApprovalStatus", "Approved") != "Approved":
        raise Invalid(
            f"ModelPackage {arn} is {package['ModelApprovalStatus']}: approve it with "
            "UpdateModelPackage first"
        )
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise Invalid(
            f"ModelPackage {arn} has {len(containers)} containers in its InferenceSpecification: "
            "one is needed (inference pipelines are not emulated)"
        )
    members = ("Image", "ModelDataUrl", "ModelDataSource")
    taken = {key: containers[0][key] for key in members if key in containers[0]}
    env = containers[0].get("Environment", {}) | given.get("Environment", {})
    return given | taken | {"ModelPackageName": arn, "Environment": env}
