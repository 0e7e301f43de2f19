"""What every token store must do, as tests; none of them knows what is behind it.

They ask for the fixtures ``store``, ``clock``, ``make`` and ``connected``, which
`everbearer.testing.store_contract` brings.
"""
