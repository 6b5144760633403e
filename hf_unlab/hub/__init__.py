"""Publishing: what goes to the Hub, the card that proves it helps, and a look at what came back."""
