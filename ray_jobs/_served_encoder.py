"""The encoder as an MLflow model (models-from-code): a column of texts in, a matrix of embeddings out."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel

from hybrid_core.config import ModelConfig
from hybrid_core.encode import encode
from hybrid_core.model import load_encoder


class ServedEncoder(PythonModel):
    """Input: texts. Parameter `kind`: "query" or "passage"."""

    def load_context(self, context: Any) -> None:
        """Load the exported encoder of the logged model."""
        self.encoder = load_encoder(ModelConfig(name=context.artifacts["encoder"]))

    def predict(self, context, model_input, params=None):
        """Unit embeddings [n, dimension] of texts given as a list, an array or a one-column frame."""
        kind = (params or {}).get("kind", "query")
        texts = [str(text) for text in np.asarray(model_input).reshape(-1)]
        return encode(self.encoder, texts, "passage" if kind == "passage" else "query")


mlflow.models.set_model(ServedEncoder())
