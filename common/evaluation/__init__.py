"""Testing as the papers do: crops and scales, prediction by one network or several, and the analysis of the errors."""
