"""The fields of all operations that the emulator answers, by what becomes of them: see `fields`."""

from emulator.api.fields import Fields

_S3_SOURCE = Fields(
    "S3DataType S3Uri S3DataDistributionType AttributeNames",
    refused="InstanceGroupNames ModelAccessConfig HubAccessConfig",
)
_CHANNEL = (
    Fields(
        "ChannelName ContentType CompressionType RecordWrapperType InputMode ShuffleConfig.Seed",
        refused="DataSource.FileSystemDataSource DataSource.DatasetSource",
    )
    + _S3_SOURCE.below("DataSource.S3DataSource")
)  # fmt: skip
_MACHINES = Fields(
    "InstanceType InstanceCount KeepAlivePeriodInSeconds",
    "VolumeSizeInGB VolumeKmsKeyId",
    "InstanceGroups TrainingPlanArn InstancePlacementConfig InstancePreferences "
    "SelectedInstanceType SelectedInstanceCount",
)
# What a training job and the definition of a tuning job's trials share.
_TRAINING = (
    Fields(
        "AlgorithmSpecification.TrainingImage AlgorithmSpecification.TrainingInputMode "
        "AlgorithmSpecification.MetricDefinitions.Name "
        "AlgorithmSpecification.MetricDefinitions.Regex OutputDataConfig.S3OutputPath "
        "OutputDataConfig.CompressionType StoppingCondition.MaxRuntimeInSeconds "
        "StoppingCondition.MaxWaitTimeInSeconds StoppingCondition.MaxPendingTimeInSeconds "
        "EnableNetworkIsolation EnableManagedSpotTraining CheckpointConfig.S3Uri "
        "CheckpointConfig.LocalPath Environment RetryStrategy.MaximumRetryAttempts",
        "RoleArn VpcConfig OutputDataConfig.KmsKeyId EnableInterContainerTrafficEncryption",
        "AlgorithmSpecification.AlgorithmName",
    )
    + _CHANNEL.below("InputDataConfig")
    + _MACHINES.below("ResourceConfig")
)  # fmt: skip
_RULES = (
    "RuleConfigurationName LocalPath S3OutputPath RuleEvaluatorImage InstanceType "
    "VolumeSizeInGB RuleParameters"
)
_TAGS = Fields("Tags.Key Tags.Value")
_RANGE = "Name MinValue MaxValue ScalingType"
_CONTAINER = Fields(
    "Image Mode ModelDataUrl Environment ModelPackageName ModelDataSource.S3DataSource.S3Uri "
    "ModelDataSource.S3DataSource.S3DataType ModelDataSource.S3DataSource.CompressionType "
    "MultiModelConfig.ModelCacheSetting",
    "ContainerHostname ImageConfig",
    "InferenceSpecificationName AdditionalModelDataSources "
    "ContainerMetricsConfig ModelDataSource.S3DataSource.ModelAccessConfig "
    "ModelDataSource.S3DataSource.HubAccessConfig ModelDataSource.S3DataSource.ManifestS3Uri "
    "ModelDataSource.S3DataSource.ETag ModelDataSource.S3DataSource.ManifestEtag",
)
_VARIANT = Fields(
    "VariantName ModelName InitialInstanceCount InitialVariantWeight "
    "ServerlessConfig.MemorySizeInMB ServerlessConfig.MaxConcurrency "
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "InstanceType VolumeSizeInGB ModelDataDownloadTimeoutInSeconds InferenceAmiVersion "
    "ServerlessConfig.ProvisionedConcurrency RoutingConfig",
    "InstancePools VariantInstanceProvisionTimeoutInSeconds AcceleratorType CoreDumpConfig "
    "EnableSSMAccess ManagedInstanceScaling CapacityReservationConfig "
    "AcceleratorPartitionLayouts",
)
_PAGES = "NextToken MaxResults SortBy SortOrder"
_TIMES = "CreationTimeAfter CreationTimeBefore"
_CHANGES = "LastModifiedTimeAfter LastModifiedTimeBefore"
_VERSION_TEXTS = "VendorGuidance JobType MLFramework ProgrammingLang Processor Horovod ReleaseNotes"
# What models have of their model package.
_OF_MODELS = (
    Fields(
        "Image ModelDataUrl Environment ModelDataSource.S3DataSource.S3Uri "
        "ModelDataSource.S3DataSource.S3DataType ModelDataSource.S3DataSource.CompressionType"
    )
    .below("InferenceSpecification.Containers")
    .honoured
)
# The registry stores these and describes them, and runs nothing.
_PACKAGE = "InferenceSpecification SourceUri ModelCard ModelLifeCycle ModelPackageRegistrationType"
_IMAGE_VERSION = Fields("ImageName Version Alias")

FIELDS: dict[str, Fields] = {
    "CreateTrainingJob": _TRAINING
    + _TAGS
    + Fields(
        "TrainingJobName HyperParameters AlgorithmSpecification.ContainerEntrypoint "
        "AlgorithmSpecification.ContainerArguments DebugHookConfig.LocalPath "
        "DebugHookConfig.S3OutputPath DebugHookConfig.HookParameters "
        "DebugHookConfig.CollectionConfigurations.CollectionName "
        "DebugHookConfig.CollectionConfigurations.CollectionParameters "
        "ProfilerConfig.S3OutputPath ProfilerConfig.ProfilingIntervalInMilliseconds "
        "ProfilerConfig.ProfilingParameters ProfilerConfig.DisableProfiler "
        "TensorBoardOutputConfig.LocalPath TensorBoardOutputConfig.S3OutputPath",
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries "
        "AlgorithmSpecification.TrainingImageConfig InfraCheckConfig SessionChainingConfig "
        "DebugRuleConfigurations ProfilerRuleConfigurations",
        "ExperimentConfig RemoteDebugConfig ServerlessJobConfig MlflowConfig ModelPackageConfig",
    ),
    "DescribeTrainingJob": Fields("TrainingJobName"),
    "ListTrainingJobs": Fields(
        f"{_PAGES} {_TIMES} {_CHANGES} NameContains StatusEquals WarmPoolStatusEquals "
        "TrainingPlanArnEquals"
    ),
    "StopTrainingJob": Fields("TrainingJobName"),
    "DeleteTrainingJob": Fields("TrainingJobName"),
    "CreateHyperParameterTuningJob": _TAGS
    + _TRAINING.below("TrainingJobDefinition")
    + Fields(_RANGE).below("HyperParameterTuningJobConfig.ParameterRanges.IntegerParameterRanges")
    + Fields(_RANGE).below(
        "HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges"
    )
    + Fields(
        "Strategy StrategyConfig.HyperbandStrategyConfig.MinResource "
        "StrategyConfig.HyperbandStrategyConfig.MaxResource "
        "HyperParameterTuningJobObjective.Type HyperParameterTuningJobObjective.MetricName "
        "ResourceLimits.MaxNumberOfTrainingJobs ResourceLimits.MaxParallelTrainingJobs "
        "ResourceLimits.MaxRuntimeInSeconds ParameterRanges.CategoricalParameterRanges.Name "
        "ParameterRanges.CategoricalParameterRanges.Values TrainingJobEarlyStoppingType "
        "TuningJobCompletionCriteria.TargetObjectiveMetricValue TuningJobCompletionCriteria."
        "BestObjectiveNotImproving.MaxNumberOfTrainingJobsNotImproving RandomSeed "
        "TuningJobCompletionCriteria.ConvergenceDetected.CompleteOnConvergence",
        refused="ParameterRanges.AutoParameters",
    ).below("HyperParameterTuningJobConfig")
    + Fields(
        "DefinitionName StaticHyperParameters HyperParameterTuningResourceConfig.InstanceType "
        "HyperParameterTuningResourceConfig.InstanceCount "
        "HyperParameterTuningResourceConfig.InstanceConfigs.InstanceType "
        "HyperParameterTuningResourceConfig.InstanceConfigs.InstanceCount",
        "HyperParameterTuningResourceConfig.VolumeSizeInGB "
        "HyperParameterTuningResourceConfig.VolumeKmsKeyId "
        "HyperParameterTuningResourceConfig.AllocationStrategy "
        "HyperParameterTuningResourceConfig.InstanceConfigs.VolumeSizeInGB",
        "TuningObjective HyperParameterRanges",
    ).below("TrainingJobDefinition")
    + Fields(
        "HyperParameterTuningJobName WarmStartConfig.WarmStartType "
        "WarmStartConfig.ParentHyperParameterTuningJobs.HyperParameterTuningJobName",
        refused="TrainingJobDefinitions Autotune",
    ),
    "DescribeHyperParameterTuningJob": Fields("HyperParameterTuningJobName"),
    "ListHyperParameterTuningJobs": Fields(
        f"{_PAGES} {_TIMES} {_CHANGES} NameContains StatusEquals"
    ),
    "ListTrainingJobsForHyperParameterTuningJob": Fields(
        f"{_PAGES} HyperParameterTuningJobName StatusEquals"
    ),
    "StopHyperParameterTuningJob": Fields("HyperParameterTuningJobName"),
    "DeleteHyperParameterTuningJob": Fields("HyperParameterTuningJobName"),
    "CreateTransformJob": _TAGS
    + Fields(
        "TransformJobName ModelName MaxConcurrentTransforms MaxPayloadInMB BatchStrategy "
        "ModelClientConfig.InvocationsTimeoutInSeconds ModelClientConfig.InvocationsMaxRetries "
        "Environment TransformInput.DataSource.S3DataSource.S3DataType "
        "TransformInput.DataSource.S3DataSource.S3Uri TransformInput.ContentType "
        "TransformInput.CompressionType TransformInput.SplitType TransformOutput.S3OutputPath "
        "TransformOutput.Accept TransformOutput.AssembleWith TransformResources.InstanceCount "
        "DataProcessing.InputFilter DataProcessing.OutputFilter DataProcessing.JoinSource",
        "TransformOutput.KmsKeyId TransformResources.InstanceType "
        "TransformResources.VolumeKmsKeyId TransformResources.TransformAmiVersion",
        "DataCaptureConfig ExperimentConfig",
    ),
    "DescribeTransformJob": Fields("TransformJobName"),
    "ListTransformJobs": Fields(f"{_PAGES} {_TIMES} {_CHANGES} NameContains StatusEquals"),
    "StopTransformJob": Fields("TransformJobName"),
    "CreateModel": _TAGS
    + _CONTAINER.below("PrimaryContainer")
    + _CONTAINER.below("Containers")
    + Fields(
        "ModelName EnableNetworkIsolation", "ExecutionRoleArn VpcConfig", "InferenceExecutionConfig"
    ),
    "DescribeModel": Fields("ModelName"),
    "ListModels": Fields(f"{_PAGES} {_TIMES} NameContains"),
    "DeleteModel": Fields("ModelName"),
    "CreateEndpointConfig": _TAGS
    + _VARIANT.below("ProductionVariants")
    + Fields(
        "EndpointConfigName EnableNetworkIsolation "
        "AsyncInferenceConfig.ClientConfig.MaxConcurrentInvocationsPerInstance "
        "AsyncInferenceConfig.OutputConfig.S3OutputPath "
        "AsyncInferenceConfig.OutputConfig.S3FailurePath "
        "AsyncInferenceConfig.OutputConfig.NotificationConfig.SuccessTopic "
        "AsyncInferenceConfig.OutputConfig.NotificationConfig.ErrorTopic "
        "AsyncInferenceConfig.OutputConfig.NotificationConfig.IncludeInferenceResponseIn",
        "KmsKeyId AsyncInferenceConfig.OutputConfig.KmsKeyId ExecutionRoleArn VpcConfig",
        "DataCaptureConfig ExplainerConfig ShadowProductionVariants MetricsConfig "
        "CrossRegionTrafficConfig",
    ),
    "DescribeEndpointConfig": Fields("EndpointConfigName"),
    "ListEndpointConfigs": Fields(f"{_PAGES} {_TIMES} NameContains"),
    "DeleteEndpointConfig": Fields("EndpointConfigName"),
    "CreateEndpoint": _TAGS + Fields("EndpointName EndpointConfigName", refused="DeploymentConfig"),
    "DescribeEndpoint": Fields("EndpointName"),
    "ListEndpoints": Fields(f"{_PAGES} {_TIMES} {_CHANGES} NameContains StatusEquals"),
    "UpdateEndpoint": Fields(
        "EndpointName EndpointConfigName RetainAllVariantProperties "
        "ExcludeRetainedVariantProperties.VariantPropertyType",
        refused="DeploymentConfig RetainDeploymentConfig",
    ),
    "UpdateEndpointWeightsAndCapacities": Fields(
        "EndpointName DesiredWeightsAndCapacities.VariantName "
        "DesiredWeightsAndCapacities.DesiredWeight "
        "DesiredWeightsAndCapacities.DesiredInstanceCount "
        "DesiredWeightsAndCapacities.ServerlessUpdateConfig.MaxConcurrency",
        "DesiredWeightsAndCapacities.ServerlessUpdateConfig.ProvisionedConcurrency",
    ),
    "DeleteEndpoint": Fields("EndpointName"),
    "CreateImage": _TAGS + Fields("ImageName DisplayName Description", "RoleArn"),
    "DescribeImage": Fields("ImageName"),
    "ListImages": Fields(f"{_PAGES} {_TIMES} {_CHANGES} NameContains"),
    "UpdateImage": Fields("ImageName DisplayName Description DeleteProperties", "RoleArn"),
    "DeleteImage": Fields("ImageName"),
    "CreateImageVersion": Fields(f"ImageName BaseImage ClientToken Aliases {_VERSION_TEXTS}"),
    "DescribeImageVersion": _IMAGE_VERSION,
    "ListImageVersions": Fields(f"{_PAGES} {_TIMES} {_CHANGES} ImageName"),
    "UpdateImageVersion": _IMAGE_VERSION + Fields(f"AliasesToAdd AliasesToDelete {_VERSION_TEXTS}"),
    "DeleteImageVersion": _IMAGE_VERSION,
    "ListAliases": _IMAGE_VERSION + Fields("MaxResults NextToken"),
    "CreateModelPackageGroup": _TAGS
    + Fields("ModelPackageGroupName ModelPackageGroupDescription", refused="ManagedConfiguration"),
    "DescribeModelPackageGroup": Fields("ModelPackageGroupName"),
    "ListModelPackageGroups": Fields(f"{_PAGES} {_TIMES} NameContains CrossAccountFilterOption"),
    "DeleteModelPackageGroup": Fields("ModelPackageGroupName"),
    "CreateModelPackage": _TAGS
    + Fields(
        "ModelPackageName ModelPackageGroupName ModelPackageDescription ModelApprovalStatus "
        f"CustomerMetadataProperties ClientToken {_OF_MODELS}",
        f"{_PACKAGE} AdditionalInferenceSpecifications SourceAlgorithmSpecification "
        "MetadataProperties ModelMetrics Domain Task SamplePayloadUrl DriftCheckBaselines "
        "SkipModelValidation SecurityConfig",
        "ValidationSpecification CertifyForMarketplace ManagedStorageType",
    ),
    "DescribeModelPackage": Fields("ModelPackageName", refused="IncludedData"),
    "ListModelPackages": Fields(
        f"{_PAGES} {_TIMES} NameContains ModelApprovalStatus ModelPackageGroupName ModelPackageType"
    ),
    "UpdateModelPackage": Fields(
        "ModelPackageArn ModelApprovalStatus ApprovalDescription CustomerMetadataProperties "
        f"CustomerMetadataPropertiesToRemove {_OF_MODELS}",
        f"{_PACKAGE} AdditionalInferenceSpecificationsToAdd ClientToken",
    ),
    "DeleteModelPackage": Fields("ModelPackageName"),
    "AddTags": _TAGS + Fields("ResourceArn"),
    "ListTags": Fields("ResourceArn MaxResults NextToken"),
    "DeleteTags": Fields("ResourceArn TagKeys"),
    # Of the service sagemaker-runtime:
    "InvokeEndpoint": Fields(
        "EndpointName Body ContentType Accept CustomAttributes TargetModel TargetVariant "
        "InferenceId SessionId",
        refused="TargetContainerHostname EnableExplanations InferenceComponentName PrefixAwareId",
    ),
    "InvokeEndpointAsync": Fields(
        "EndpointName ContentType Accept CustomAttributes InferenceId InputLocation "
        "S3OutputPathExtension Filename RequestTTLSeconds InvocationTimeoutSeconds Body"
    ),
}
