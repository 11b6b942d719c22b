"""The scikit-learn style Python interface: `MoCoOpClassifier(groups).fit(X, y).predict_proba(X)`."""

from mocoop.estimator.classifier import MoCoOpClassifier

__all__ = ["MoCoOpClassifier"]
