"""What an experiment needs in an account, as one CloudFormation template. Pure functions."""
