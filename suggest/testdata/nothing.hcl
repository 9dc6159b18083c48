# Nothing was seen that needs a rule.
