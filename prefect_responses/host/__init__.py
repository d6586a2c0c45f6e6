"""The only door to Prefect's runs: who calls, in which flow run, with what to show."""
