"""The explorer: an app that reads runs from the tracking store and draws them with qlab's views.

Served by ``qlab explore``. The store is ``MLFLOW_TRACKING_URI``, else the embedded one.
"""

from qlab.explorer.app import serve

serve()
