"""What users of SageMaker's Python SDK, version 3, do; run by that SDK's own interpreter."""

import sys
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import TrainingJob
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
from sagemaker.train import ModelTrainer

ROLE = "arn:aws:iam::123456789012:role/kennel"
BUCKET = "kennel-data"

folder = Path(sys.argv[1])
(folder / "script.py").write_text(
    "import os, pathlib\n"
    "assert pathlib.Path('/opt/ml/input/data/train/cat/1.jpg').read_text() == 'cat'\n"
    "(pathlib.Path(os.environ['SM_MODEL_DIR']) / 'made.txt').write_text('by the script')\n"
)
trainer = ModelTrainer(
    training_image="toolkit",
    role=ROLE,
    base_job_name="sdk3-script",
    source_code=SourceCode(source_dir=str(folder), entry_script="script.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/out"),
    sagemaker_session=Session(default_bucket=BUCKET),
)
trainer.train(
    input_data_config=[InputData(channel_name="train", data_source=f"s3://{BUCKET}/photos")],
    wait=True,
    logs=False,
)
(name,) = [job.training_job_name for job in TrainingJob.get_all(name_contains="sdk3-script")]
job = TrainingJob.get(name)
assert job.training_job_status == "Completed", job.failure_reason
print("did", job.model_artifacts.s3_model_artifacts)
