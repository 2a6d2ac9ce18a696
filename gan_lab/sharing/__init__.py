"""What goes to others: marks in pictures, model cards, configs without places of a machine, the Hub."""
