"""The Slack bot: what people do in Slack becomes jobs in the catalog; each job is done once; one function posts."""
