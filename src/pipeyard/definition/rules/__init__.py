"""The rules that a pipeline is held against: one module for each subject, one function for each module."""
