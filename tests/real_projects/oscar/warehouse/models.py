from django.db import models


class Shelf(models.Model):
    name = models.CharField(max_length=40, unique=True)

    class Meta:
        verbose_name_plural = "shelves"

    def __str__(self):
        return self.name


class StockPlace(models.Model):
    product = models.ForeignKey("catalogue.Product", on_delete=models.CASCADE, related_name="stock_places")
    shelf = models.ForeignKey(Shelf, on_delete=models.PROTECT, related_name="stock_places")
    quantity = models.PositiveIntegerField()

    def __str__(self):
        return f"{self.quantity} of {self.product} on {self.shelf}"
