"""The files of smdebug and of SageMaker's profiler: readers and writers."""
