"""Training, evaluating and registering SemanIR on Ray, DeepSpeed, WebDataset and MLflow."""
