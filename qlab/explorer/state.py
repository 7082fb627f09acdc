"""What a reader of the explorer has chosen: the whole of it stands in the page's address."""

from __future__ import annotations

from typing import Final

import param

PAGES: Final = (
    *("Findings", "Runs", "Resilience", "Heat map", "Unlearning"),
    *("Compare", "Landscape", "Curvature", "Data and circuit", "Run"),
)


class State(param.Parameterized):
    """Every choice, on all pages. A selection on one page is the selection on all.

    Values from an address are taken as they come; pages make sense of them, and say what they cannot show.
    """

    page = param.String(default=PAGES[0], doc="The page that is open.")
    experiment = param.String(default="", doc="Name of the MLflow experiment; empty: the first.")
    where = param.String(default="", doc="MLflow filter string that runs must match.")
    runs = param.List(default=[], item_type=str, doc="Ids of the selected runs.")

    standing = param.String(default="all", doc="Which runs the table has: all, running, failed or selected.")
    columns = param.List(default=[], item_type=str, doc="Columns of the table of runs; empty: the usual ones.")
    parallel = param.Boolean(default=False, doc="Whether runs are drawn as parallel coordinates.")
    measures = param.List(default=[], item_type=str, doc="Metrics among these, up to two; empty: the usual ones.")
    ranges = param.String(default="", doc="What the table keeps, commas between: validation_accuracy 0.9..1.")
    story = param.Boolean(default=False, doc="Whether one experiment's findings are shown instead of all cards.")

    group_by = param.List(default=[], item_type=str, doc="Params that tell groups apart; empty: all that differ.")
    corruptions = param.List(default=[], item_type=str, doc="Corruptions shown; empty: all.")
    across = param.String(default="", doc="Param along the axis of Resilience; empty: the corruption ratio.")
    traces = param.Boolean(default=False, doc="Whether single runs are drawn beside the means.")

    map_of = param.String(default="trials", doc="Kind of runs of the heat map.")
    map_x = param.String(default="", doc="Param across the heat map; empty: the corruption ratio.")
    map_y = param.String(default="", doc="Param up the heat map; empty: that with most values.")
    map_metric = param.String(default="", doc="Metric of the heat map; empty: validation accuracy.")
    contours = param.String(default="", doc="Values of contours, commas between; empty: those of accuracies.")
    control = param.List(default=[], item_type=str, doc="Params and values of runs to subtract, name = value.")

    unlearning_tab = param.String(default="Scoreboard", doc="What is shown of unlearning.")
    models = param.List(default=[], item_type=str, doc="Models of unlearning runs shown; empty: all.")
    board_sort = param.String(default="", doc="Column that the scoreboard is sorted by, and which way.")
    methods = param.List(default=[], item_type=str, doc="Unlearning methods shown; empty: all.")
    metrics = param.List(
        default=["validation_accuracy", "forget_accuracy_polluted"], item_type=str, doc="Metrics over steps."
    )
    unlearned = param.String(default="", doc="Id of the run shown before and after unlearning; empty: the first.")
    margins_of = param.String(default="", doc="Title of the audited run whose margins are drawn; empty: the first.")
    margin_rows = param.String(default="forget", doc="Kind of rows whose margins are drawn.")

    compare_by = param.String(default="groups", doc="What stands side by side: groups, every seed of them, or runs.")
    compare_tab = param.String(default="Curves", doc="What is compared: Curves, Settings, Samples or Landscapes.")
    compare_metrics = param.List(default=[], item_type=str, doc="Metrics whose curves are compared; empty: the usual.")
    reference = param.String(default="A", doc="Letter of the group that others are compared with.")
    other = param.String(default="", doc="Letter of the group whose samples are compared; empty: the first other.")
    compare_rows = param.String(default="train", doc="Whose answers are compared: train or validation.")
    compare_seed = param.Integer(default=-1, doc="Seed whose models are asked; -1: the first.")
    compare_row = param.Integer(default=-1, doc="The sample looked at; -1: none.")

    points = param.List(default=[], item_type=str, doc="Run ids of the checkpoints whose landscapes are drawn.")
    samples = param.String(default="train", doc="On which samples the loss is taken.")
    directions = param.String(default="filter", doc="Directions of a slice.")
    dimensions = param.Integer(default=2, bounds=(1, 2), doc="Line or plane.")
    draw = param.Integer(default=0, bounds=(0, None), doc="Number of the random draw.")
    span = param.Number(default=1.0, bounds=(0.01, 10.0), doc="Half the width of a slice.")
    resolution = param.Integer(default=41, bounds=(5, 201), doc="Grid points on an axis.")
    surface = param.Boolean(default=False, doc="Surfaces instead of contours.")
    same_colours = param.Boolean(default=True, doc="One colour scale for all slices.")
    cut = param.List(default=[], item_type=float, doc="Where a slice is cut: two coordinates, or none.")

    cut_in = param.Integer(default=0, bounds=(0, 3), doc="Number of the slice whose decision map is drawn.")
    judged = param.String(default="clean", doc="The label by which a decision is right: clean or given.")

    corruption = param.String(default="", doc="Corruption of the data map.")
    ratio = param.Number(default=0.2, bounds=(0.0, 1.0), doc="Ratio of the data map.")
    seed = param.Integer(default=0, doc="Seed of the data map.")
    projection = param.String(default="pca", doc="pca or tsne.")
    row = param.Integer(default=-1, doc="The sample looked at; -1: none.")
